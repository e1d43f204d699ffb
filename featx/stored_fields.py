"""Fields of descriptions as files give them: JSON that anybody may have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def known_fields(cls: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what `cls` knows: a newer featx may have written further fields."""
    names = {known.name for known in fields(cls)}
    return {name: value for name, value in data.items() if name in names}


def check_types(data: Mapping[Any, Any], expected: type, *names: Any) -> None:
    """Refuse fields that a file gives as another type; None is a field that is left out."""
    for name in names:
        value = data.get(name)
        if value is not None and type(value) is not expected:
            raise TypeError(f"{name!r} is {value!r}, which is not {expected.__name__}")


def read_counts(name: str, values: Any) -> tuple[int, ...]:
    """Return a list of whole numbers, at least 0, that a file gives.

    Raises:
        TypeError: If it is anything else.
    """
    if type(values) is not list or not all(type(value) is int and value >= 0 for value in values):
        raise TypeError(f"{name!r} is {values!r}, which is no list of whole numbers")
    return tuple(values)
