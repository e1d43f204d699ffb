"""Which of many keys match globs: the test of `make_exclusion`, for a million keys in 0.1 s."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.images.sources.request import make_exclusion

_SET = re.compile(r"\[(!?)((?:[A-Za-z0-9](?:-[A-Za-z0-9])?)+)\]")
"""A set of letters and digits, which does not hold a slash. Others are left to Python."""


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

    names = {name for p in patterns for name in (p.rstrip("/"), p.rstrip("/").removeprefix("**/"))}
    if any("[" in _SET.sub("", name) for name in names):
        return None
    expression = "|".join(_translate(name) for name in sorted(names))
    try:
        found = pyarrow.compute.match_substring_regex(joined, f"(?s){expression}")
    except pyarrow.ArrowInvalid:  # It takes too much memory, or a set is none.
        return None
    # As bits: Arrow's own way to NumPy imports pandas, which takes longer than all the rest.
    bits = np.frombuffer(found.buffers()[1], np.uint8)
    return np.unpackbits(bits, count=len(found), bitorder="little").view(bool)


def join_keys(keys: Sequence[str]) -> Any:
    """Return keys as an array of Arrow; None if one of them is no UTF-8, or has a zero."""
    import pyarrow.compute  # For whoever asks later: importing it takes as long as a search.

    try:
        text = np.frombuffer("\0".join([*keys, ""]).encode(), np.uint8)
    except UnicodeEncodeError:
        return None
    ends = np.flatnonzero(text == 0)
    if len(ends) != len(keys):
        return None
    places = np.zeros(len(keys) + 1, np.int64)
    places[1:] = ends - np.arange(len(keys))
    parts = (pyarrow.py_buffer(values) for values in (places, text[text != 0]))
    return pyarrow.LargeStringArray.from_buffers(len(keys), *parts)


def _translate(name: str) -> str:
    """Return an expression for a key of which one part, or the first ones together, match.

    Whatever begins with a star matches the first parts together wherever it matches one of them;
    looking for the rest alone is several times as fast.
    """
    begun = name.lstrip("*")
    if begun != name:
        return rf"(?:{_spell(begun, '.')})(?:/|\z)"
    inside = rf"(?:\A|/)(?:{_spell(name, '[^/]')})(?:/|\z)"
    if not {"*", "?", "/", "["} & set(name):
        return inside
    return rf"\A(?:{_spell(name, '.')})(?:/|\z)|{inside}"


def _spell(name: str, any_: str) -> str:
    known = {"*": f"{any_}*", "?": any_}
    inside = "" if any_ == "." else "/"
    spelled, end = "", 0
    for found in _SET.finditer(name):
        between = name[end : found.start()]
        spelled += "".join(known.get(letter) or re.escape(letter) for letter in between)
        spelled += f"[^{inside}{found[2]}]" if found[1] else f"[{found[2]}]"
        end = found.end()
    return spelled + "".join(known.get(letter) or re.escape(letter) for letter in name[end:])
