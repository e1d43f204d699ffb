"""What stands beside the features of a data set: columns of the store, as values and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.errors import UnknownName, join_names
from featx.images.sources import natural_key
from featx.images.sources.columns import list_values
from featx.store import FeatureStore
from featx.store.columns import kind_of

KEY, LABEL, SPLIT = "key", "label", "split"

NO_CLASS = -1
"""The number of a class where there is none."""


def check_column(store: FeatureStore, name: str) -> None:
    """Refuse a column that the store does not have.

    Raises:
        UnknownName: Says which it has.
    """
    known = list(dict.fromkeys((KEY, LABEL, SPLIT, *store.columns)))
    if name not in known:
        raise UnknownName("column in the store", name, known, remedy=f"It has {join_names(known)}.")


def read_values(store: FeatureStore, name: str) -> Sequence[Any]:
    """Return N values as people read them: text, int, float or bool, None where one is missing."""
    if name == KEY:
        return store.keys
    if name == LABEL:
        return store.labels
    return store.splits if name == SPLIT else list_values(store.columns[name])


def read_numbers(store: FeatureStore, name: str) -> np.ndarray:
    """Return N values as networks take them.

    Labels are numbers of classes, int64, `NO_CLASS` where there is none. Numbers and truth values
    have the type that they are stored in, and are float64 with NaN if any is missing. Other text is
    an object array, in which missing text is empty.
    """
    if name == LABEL:
        return store.class_numbers
    values = read_values(store, name)
    kind = kind_of(_as_objects(values))
    if kind in (None, "text"):
        return _as_objects(["" if value is None else str(value) for value in values])
    if any(value is None for value in values):
        return np.array([np.nan if value is None else float(value) for value in values])
    return np.array(values, kind)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What is to be learned.

    Attributes:
        values: (N,), int64 or float32.
        is_known: bool (N,), False where a row has none.
        classes: Names that the numbers stand for; none if they are numbers themselves.
    """

    values: np.ndarray
    is_known: np.ndarray
    classes: tuple[str, ...] = ()


def read_target(store: FeatureStore, name: str) -> Target:
    """Return what is to be learned: a label or another text as a number of its class, or numbers.

    Classes are those of the whole store, so that they are the same in each of its splits.
    """
    numbers = read_numbers(store, name)
    if name == LABEL:
        return Target(numbers, numbers >= 0, store.classes)
    if numbers.dtype == object:
        classes = tuple(sorted(set(numbers.tolist()) - {""}, key=natural_key))
        place = {text: number for number, text in enumerate(classes)}
        values = np.array([place.get(text, NO_CLASS) for text in numbers.tolist()], np.int64)
        return Target(values, values >= 0, classes)
    if numbers.dtype.kind == "f":
        return Target(numbers.astype(np.float32), ~np.isnan(numbers))
    return Target(numbers.astype(np.int64), np.ones(len(numbers), bool))


def to_float32(values: Any) -> Any:
    """Return an array as it is, or in float32 if it is stored in float16; a text as it is.

    Example:
        >>> to_float32(np.zeros(1, np.float16)).dtype, to_float32(np.zeros(1, int)).dtype
        (dtype('float32'), dtype('int64'))
    """
    if isinstance(values, str):
        return values
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _as_objects(values: Sequence[Any]) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = values
    return made
