"""What is to be predicted where that is not one class: several labels of a picture, or a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from featx.errors import HeadError, UnknownName
from featx.heads.kinds import Examples, Task
from featx.heads.labels import RowLabels
from featx.heads.options import TaskOptions
from featx.images.sources import natural_key
from featx.images.sources.columns import list_values
from featx.images.sources.table_columns import LABEL_COLUMNS
from featx.store import FeatureStore
from featx.wording import option

SEPARATORS = "|;"
"""Between the labels of one picture; of both, the first that occurs at all."""

NO_LABEL = "|"
"""The text of a picture to which no label applies."""

MOST_STRATA = 10
LEAST_IN_STRATUM = 5
"""Parts of equal size into which numbers are divided by their size, and groups in each at least."""

_TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What is known of N rows, some of which are left out.

    Attributes:
        task: What is predicted, ``multi`` or ``regression``.
        columns: Names of the columns that say it.
        classes: C class names; none of a regression.
        values: By the task, bool (N, C) or float64 (N,); meaningless for rows that are left out.
        labels: As text, N of them: ``cat|dog``, or the number; None where it is not known.
    """

    task: Task
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    values: np.ndarray
    labels: tuple[str | None, ...]


def list_columns(task: TaskOptions) -> tuple[str, ...]:
    """Return the columns that say what is to be predicted; none of one class for each picture."""
    return (*task.label_columns, *([] if task.target is None else [task.target]))


def read_targets(task: TaskOptions, row_labels: RowLabels, store: FeatureStore) -> Targets:
    """Read the columns that are asked for, from the labels table or else from the store.

    Raises:
        UnknownName: If neither has one of them.
        HeadError: If they hold something else than was asked for, or nothing.
    """
    columns: dict[str, Sequence[Any]] = {}
    for name in list_columns(task):
        if is_label(name, row_labels.columns) and is_label(name, store.columns):
            columns[name] = row_labels.labels
        else:
            found = find_column(name, row_labels, store)
            assert found is not None
            columns[name] = list_values(found)
    targets = make_targets(columns, "multi" if task.target is None else "regression")
    if not any(label is not None for label in targets.labels):
        named = ", ".join(repr(name) for name in columns)
        raise HeadError(f"No image in {str(store.path)!r} has a value in {named}.")
    if not targets.classes and task.target is None:
        (name,) = columns
        raise HeadError(f"No label applies to any image: all cells of {name!r} are empty.")
    known = [label is not None for label in targets.labels]
    found = targets.values[known]
    absent = [name for number, name in enumerate(targets.classes) if not found[:, number].any()]
    if absent:
        raise HeadError(
            f"These labels apply to no image: {', '.join(absent)}. Take them away from "
            f"{option('label_columns')}."
        )
    return targets


def is_label(name: str, columns: Mapping[str, object]) -> bool:
    """Whether a column's name means the images' own label: no further column is called so."""
    return name not in columns and name.lower() in LABEL_COLUMNS


def find_column(name: str | None, row_labels: RowLabels, store: FeatureStore) -> np.ndarray | None:
    """Return a column of the labels table, or else of the store; None if none is wanted.

    Raises:
        UnknownName: If neither has it.
    """
    if name is None:
        return None
    if name in row_labels.columns:
        return row_labels.columns[name]
    if name not in store.columns:
        known = list(dict.fromkeys((*row_labels.other_columns, *store.columns)))
        where = "store" if not row_labels.other_columns else "table and the store"
        names = ", ".join(known) or "none"
        raise UnknownName("column", name, known, remedy=f"Further columns of the {where}: {names}.")
    return store.columns[name]


def make_targets(columns: Mapping[str, Sequence[Any]], task: Task) -> Targets:
    """Make targets of columns of N values each, None where one is missing.

    Args:
        columns: Of ``multi`` one column of texts such as ``cat|dog``, or some of 0 and 1, each a
            label; of ``regression`` one of numbers.
        task: ``multi`` or ``regression``.

    Returns:
        The targets. Rows are left out that miss one of the values.

    Raises:
        HeadError: If a value is something else.

    Example:
        >>> targets = make_targets({"tags": ["cat|dog", "dog", None]}, "multi")
        >>> targets.classes, targets.values.tolist(), targets.labels
        (('cat', 'dog'), [[True, True], [False, True], [False, False]], ('cat|dog', 'dog', None))
        >>> make_targets({"price": [3, None]}, "regression").labels
        ('3', None)
    """
    names = tuple(columns)
    if task == "regression":
        numbers = [_read_number(value, names[0]) for value in columns[names[0]]]
        labels = tuple(None if value is None else f"{value:.15g}" for value in numbers)
        values = np.array([0.0 if value is None else value for value in numbers])
        return Targets(task, names, (), values, labels)
    first = columns[names[0]]
    if len(names) == 1 and not all(_is_number_of_truth(value) for value in first):
        return _split_texts(names[0], first)
    truth = [[_check_truth(value, name) for value in columns[name]] for name in names]
    values = np.array([[bool(value) for value in column] for column in truth]).T
    is_known = [None not in row for row in zip(*truth, strict=True)]
    return Targets(task, names, names, values, _join(values, names, is_known))


def _split_texts(name: str, texts: Sequence[Any]) -> Targets:
    """Make targets of one column with several labels in each text."""
    given = [None if text is None else str(text) for text in texts]
    used = (each for each in SEPARATORS if any(text and each in text for text in given))
    separator = next(used, SEPARATORS[0])
    parts = [_split(text or "", separator) for text in given]
    classes = tuple(sorted(set().union(*parts), key=natural_key))
    numbers = {label: number for number, label in enumerate(classes)}
    values = np.zeros((len(parts), len(classes)), bool)
    for row, labels in enumerate(parts):
        values[row, [numbers[label] for label in labels]] = True
    is_known = [text is not None for text in given]
    return Targets("multi", (name,), classes, values, _join(values, classes, is_known))


def _split(text: str, separator: str) -> set[str]:
    return {part.strip() for part in text.split(separator)} - {""}


def _join(
    values: np.ndarray, classes: Sequence[str], is_known: Sequence[bool]
) -> tuple[str | None, ...]:
    return tuple(
        name_labels(row, classes) if known else None
        for row, known in zip(values, is_known, strict=True)
    )


def name_labels(applies: np.ndarray, classes: Sequence[str]) -> str:
    """Return the names of the labels that apply, bool (C,), as text.

    Example:
        >>> name_labels(np.array([True, True]), ["a", "b"]), name_labels(np.array([False]), ["a"])
        ('a|b', '|')
    """
    return "|".join(compress(classes, applies)) or NO_LABEL


def split_labels(texts: Iterable[str]) -> set[str]:
    """Return the labels in texts that `name_labels` made.

    Example:
        >>> sorted(split_labels(["cat|dog", "|", "cat"]))
        ['cat', 'dog']
    """
    return set[str]().union(*(_split(text, NO_LABEL) for text in texts))


def _read_truth(value: Any) -> bool | None:
    """Return whether a label applies; None for what is neither 0 nor 1, and what is missing."""
    return None if value is None else _TRUTH.get(str(value).strip().lower())


def _is_number_of_truth(value: Any) -> bool:
    """Whether a value is missing, 0 or 1, and not the text of a label that is called so."""
    return value is None or (not isinstance(value, str) and _read_truth(value) is not None)


def _check_truth(value: Any, name: str) -> bool | None:
    found = _read_truth(value)
    if value is not None and found is None:
        raise HeadError(
            f"{option('label_columns')} names several columns of 0 and 1, or one of texts such as "
            f"'cat|dog'. Received: {value!r} in {name!r}."
        )
    return found


def _read_number(value: Any, name: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise HeadError(
            f"{option('target')} names a column of numbers, some of which may be missing. "
            f"Received: {value!r} in {name!r}. Classes are learned without it, several labels for "
            f"each image with {option('label_columns', name)}."
        )
    return number


def check_variety(targets: Targets, known: np.ndarray) -> None:
    """Refuse what is the same for all images: nothing can be learned of it.

    Args:
        targets: What is to be predicted.
        known: Its values for the rows that are used, (N,) or (N, C).

    Raises:
        HeadError: If they are all equal.
    """
    if len(known) == 0 or (known != known[0]).any():
        return
    count = "the only image has" if len(known) == 1 else f"all {len(known):,} images have"
    value = name_labels(known[0], targets.classes) if targets.task == "multi" else f"{known[0]:.6g}"
    raise HeadError(
        f"A head learns what differs between images. Received: {count} {value!r} in "
        f"{', '.join(targets.columns)}."
    )


def number_targets(targets: np.ndarray) -> np.ndarray:
    """Number targets, (N,) or bool (N, C), equal ones alike: (N,).

    Example:
        >>> number_targets(np.array([[True, False], [True, True], [True, False]])).tolist()
        [0, 1, 0]
    """
    if targets.ndim == 1:
        return np.unique(targets, return_inverse=True)[1].reshape(-1)
    numbers: dict[bytes, int] = {}  # `np.unique` of rows takes minutes with thousands of columns.
    packed = np.packbits(targets, axis=1)
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in packed], np.int64)


def find_strata(examples: Examples) -> np.ndarray:
    """Return numbers (N,) of parts that are to be on both sides of a division in equal shares.

    ``single``: the classes. ``multi``: the rarest label of each group, so that rare ones are on
    both sides; groups without a label, and those whose rarest label no other one has, are a part of
    their own. ``regression``: parts of as many groups each, from small to large means.

    Example:
        >>> targets = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], bool)
        >>> find_strata(Examples(np.zeros((4, 1)), targets, 2, np.arange(4), "multi")).tolist()
        [0, 0, 1, 1]
    """
    targets = examples.targets
    if examples.task == "single":
        return targets
    found, groups, sizes = np.unique(examples.groups, return_inverse=True, return_counts=True)
    groups, count = groups.reshape(-1), len(found)
    if examples.task == "multi":
        applies = np.zeros((count, targets.shape[1]), bool)
        np.logical_or.at(applies, groups, targets)
        frequent = np.where(applies, applies.sum(axis=0), count + 1)
        rarest = np.where(applies.any(axis=1), frequent.argmin(axis=1), targets.shape[1])
        rarest[np.bincount(rarest)[rarest] < 2] = targets.shape[1]
        return np.unique(rarest, return_inverse=True)[1].reshape(-1)[groups]
    means = np.bincount(groups, weights=targets) / sizes
    parts = max(1, min(MOST_STRATA, count // LEAST_IN_STRATUM))
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    return np.asarray(ranks * parts // max(1, count))[groups]
