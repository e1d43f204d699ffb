"""JSON with a checksum: a name with a damaged letter would still be valid JSON."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from featx.specs import digest

SEAL = "sha256"
"""The field with the digest of all others; see `featx.specs.digest`."""


def parse_json(text: str) -> Any:
    """Read JSON as the standard has it, in which every number is finite.

    Raises:
        ValueError: If it is no JSON: Python itself also takes NaN, Infinity and 1e999.

    Example:
        >>> parse_json("[1e999]")
        Traceback (most recent call last):
        ...
        ValueError: it holds the number 1e999
    """
    return json.loads(text, parse_constant=_refuse, parse_float=_parse_finite)


def _parse_finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"it holds the number {text}")


def seal(data: dict[str, Any]) -> dict[str, Any]:
    """Return JSON-serialisable fields with their digest as the last field.

    Example:
        >>> sorted(seal({"keys": ["a.jpg"]}))
        ['keys', 'sha256']
    """
    content = _without_seal(data)
    as_read = json.loads(json.dumps(content))  # Tuples become lists, and numbers as keys text.
    return content | {SEAL: digest(as_read)}


def check_seal(data: dict[str, Any]) -> None:
    """Refuse fields that have changed since they were sealed.

    Raises:
        ValueError: If they were changed.
        KeyError: If they were never sealed.

    Example:
        >>> check_seal(seal({"keys": ["a.jpg"]}))
        >>> check_seal(seal({"keys": ["a.jpg"]}) | {"keys": ["b.jpg"]})
        Traceback (most recent call last):
        ...
        ValueError: it is not what was written
    """
    if digest(_without_seal(data)) != data[SEAL]:
        raise ValueError("it is not what was written")


def check_texts(values: Any) -> tuple[str, ...]:
    """Return a list of texts as a tuple; refuse anything else.

    Raises:
        TypeError: If it is not a list of text.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of texts is not one")
    return tuple(values)


def _without_seal(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != SEAL}
