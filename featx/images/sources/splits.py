"""Splits: what images are for, by the words that people use for it."""

from __future__ import annotations

import re

SPLITS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
}
"""Name of a split → the name that featx gives it."""


def same_split(name: str | None, other: str | None) -> bool:
    """Whether two names mean one split: ``val`` and ``Validation`` do.

    Example:
        >>> same_split("val", "Validation"), same_split("fold1", "FOLD1"), same_split("a", None)
        (True, True, False)
    """
    return _fold(name) == _fold(other)


def _fold(name: str | None) -> str | None:
    if name is None:
        return None
    folded = name.strip().casefold()
    return SPLITS.get(folded, folded)


def find_split(name: str) -> str | None:
    """Return the split in the name of a folder or array, None if there is none in it, or several.

    Example:
        >>> [find_split(name) for name in ("x_test", "train_160", "valset2", "TrainData", "trains")]
        ['test', 'train', 'val', 'train', None]
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    found = {SPLITS.get(word, SPLITS.get(word.removesuffix("set"))) for word in words} - {None}
    return found.pop() if len(found) == 1 else None
