"""How much each labelled image counts in a fit."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from featx.errors import HeadError
from featx.text_files import decode_text
from featx.units import format_count
from featx.wording import option

BALANCED = "balanced"


def weigh_examples(
    targets: np.ndarray,
    classes: Sequence[str],
    class_weight: str | Path | Mapping[str, float] | None,
    column: np.ndarray | None,
) -> np.ndarray | None:
    """Return how much each row counts, float (N,), with mean 1; None where all count alike.

    ``balanced`` gives a row of class c the weight ``N / (C * N_c)``, as in scikit-learn. A row with
    several labels has the mean of their weights, and one without a label the mean of all these
    rows. Weights of classes and of rows are multiplied.

    Args:
        targets: Class numbers, (N,); whether a label applies, bool (N, C); or numbers, (N,), which
            have no weights of classes.
        classes: C class names.
        class_weight: See `featx.heads.options.TaskOptions`.
        column: Weights of the N rows, None or NaN where they are missing; or no column.

    Raises:
        HeadError: If a weight is no number above 0, or a class has none.

    Example:
        >>> weigh_examples(np.array([0, 0, 0, 1]), ("a", "b"), "balanced", None).round(2).tolist()
        [0.67, 0.67, 0.67, 2.0]
    """
    if class_weight is None and column is None:
        return None
    weights = np.ones(len(targets))
    if isinstance(class_weight, str) and class_weight == BALANCED:
        is_one = targets.ndim == 1
        counts = np.bincount(targets, minlength=len(classes)) if is_one else targets.sum(axis=0)
        by_class = len(targets) / (len(classes) * np.maximum(counts, 1))
        weights *= _weigh_targets(targets, by_class)
    elif class_weight is not None:
        given: Mapping[str, object]
        if isinstance(class_weight, Mapping):
            given = class_weight
        else:
            given = _read_table(Path(class_weight))
        weights *= _weigh_targets(targets, _order_weights(given, classes))
    if column is not None:
        weights *= [_read_weight(value) for value in column.tolist()]
    return np.asarray(weights / weights.mean())


def _weigh_targets(targets: np.ndarray, by_class: np.ndarray) -> np.ndarray:
    """Return the weight of each row, (N,), from those of the classes, (C,)."""
    if targets.ndim == 1:
        return np.asarray(by_class[targets])
    counts = targets.sum(axis=1)
    weights = targets @ by_class / np.maximum(counts, 1)
    if (counts > 0).any():
        weights[counts == 0] = weights[counts > 0].mean()
    return np.where(weights > 0, weights, 1.0)


def _order_weights(weights: Mapping[str, object], classes: Sequence[str]) -> np.ndarray:
    missing = [name for name in classes if name not in weights]
    if missing:
        raise HeadError(
            f"{option('class_weight')} needs a weight for each class. Received none for "
            f"{format_count(len(missing), 'class', 'classes')}: {', '.join(missing[:5])}."
        )
    numbers = [_as_weight(weights[name]) for name in classes]
    for name, number in zip(classes, numbers, strict=True):
        if number is None:
            raise HeadError(
                f"The weight of a class is a number above 0. Received: {weights[name]!r} for "
                f"{name!r}."
            )
    return np.array(numbers, np.float64)


def _as_weight(value: object) -> float | None:
    """Return a number above 0; None for anything else."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _read_weight(value: object) -> float:
    if value is None or value != value:  # NaN is not equal to itself.
        return 1.0
    number = _as_weight(value)
    if number is None:
        raise HeadError(
            f"{option('sample_weight')} names a column of numbers above 0, or missing. Received: "
            f"{value!r}."
        )
    return number


def _read_table(path: Path) -> dict[str, str]:
    """Read weights of classes from a CSV file; what is no number is refused when it is used."""
    if not path.is_file():
        raise HeadError(
            f"{option('class_weight')} takes 'balanced' or a CSV file with the columns class and "
            f"weight. Received: {str(path)!r}, which does not exist."
        )
    try:
        lines = decode_text(path.read_bytes())[0].splitlines()
    except ValueError as error:
        raise HeadError(
            f"{option('class_weight')} takes 'balanced' or a CSV file. {str(path)!r} cannot be "
            f"read: {error}."
        ) from error
    separator = next((each for each in ",;\t" if lines and each in lines[0]), ",")
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator) if row]
    header = [name.lower() for name in rows[0]] if rows else []
    if not {"class", "weight"} <= set(header):
        raise HeadError(
            "A file of class weights has the columns class and weight. Received: "
            f"{', '.join(header) or 'nothing'} in {str(path)!r}."
        )
    name, weight = header.index("class"), header.index("weight")
    full = [row for row in rows[1:] if len(row) > max(name, weight)]
    weights: dict[str, str] = {}
    for row in full:
        if _as_weight(weights.setdefault(row[name], row[weight])) != _as_weight(row[weight]):
            raise HeadError(
                f"A class has one weight. Received: {weights[row[name]]} and {row[weight]} for "
                f"{row[name]!r} in {str(path)!r}."
            )
    return weights
