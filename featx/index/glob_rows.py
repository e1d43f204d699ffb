"""Which of many keys match globs: the test of `make_exclusion`, for a million keys in 0.1 s."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.images.sources.request import make_exclusion


def match_keys(keys: Sequence[str], joined: Any, patterns: Sequence[str]) -> np.ndarray:
    """Return which keys, file names or folders match one of some globs, bool (N,).

    Args:
        keys: N keys.
        joined: The same as an array of Arrow, from `join_keys`; None if they cannot be one.
        patterns: Globs, see `featx.images.sources.request.make_exclusion`.

    Example:
        >>> keys = ["x/thumbs/1.jpg", "1.gif", "a/b/1.jpg", "b/1.jpg"]
        >>> match_keys(keys, join_keys(keys), ["thumbs", "*.gif", "a/b"]).tolist()
        [True, True, True, False]
    """
    found = None if joined is None else _match_joined(joined, patterns)
    if found is not None:
        return found
    matches = make_exclusion(patterns)
    assert matches is not None
    return np.fromiter(map(matches, keys), bool, len(keys))


def _match_joined(joined: Any, patterns: Sequence[str]) -> np.ndarray | None:
    """Return which keys match; None for what Arrow's expressions cannot say."""
    import pyarrow.compute

    if any("[" in pattern for pattern in patterns):  # They have no sets that leave out a slash.
        return None
    names = {name for p in patterns for name in (p.rstrip("/"), p.rstrip("/").removeprefix("**/"))}
    expression = "|".join(_translate(name) for name in sorted(names))
    try:
        found = pyarrow.compute.match_substring_regex(joined, f"(?s){expression}")
    except pyarrow.ArrowInvalid:  # It takes too much memory.
        return None
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


def join_keys(keys: Sequence[str]) -> Any:
    """Return keys as an array of Arrow; None if one of them is no UTF-8."""
    import pyarrow

    try:
        return pyarrow.array(keys, pyarrow.large_string())
    except (pyarrow.ArrowInvalid, UnicodeEncodeError):
        return None


def _translate(name: str) -> str:
    """Return an expression for a key of which one part, or the first ones together, match.

    Whatever begins with a star matches the first parts together wherever it matches one of them;
    looking for the rest alone is several times as fast.
    """
    begun = name.lstrip("*")
    if begun != name:
        return rf"(?:{_spell(begun, '.')})(?:/|\z)"
    inside = rf"(?:\A|/)(?:{_spell(name, '[^/]')})(?:/|\z)"
    if not {"*", "?", "/"} & set(name):
        return inside
    return rf"\A(?:{_spell(name, '.')})(?:/|\z)|{inside}"


def _spell(name: str, any_: str) -> str:
    known = {"*": f"{any_}*", "?": any_}
    return "".join(known.get(letter) or re.escape(letter) for letter in name)
