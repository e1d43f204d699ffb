"""Sums over examples from which linear models follow in closed form: one pass over the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from featx.errors import HeadError
from featx.heads.design import Design
from featx.heads.folds import Folds
from featx.heads.kinds import Examples
from featx.wording import option

WIDEST = 8_192
"""Coordinates R up to which a matrix (R, R) is made: 0.5 GB in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Weighted sums over standardised examples z (R,) with targets y (K,).

    Attributes:
        count: Sum of the weights.
        values: Sum of z, (R,).
        gram: Sum of z zᵀ, (R, R).
        targets: Sum of y, (K,).
        cross: Sum of y zᵀ, (K, R).
    """

    count: float
    values: np.ndarray
    gram: np.ndarray
    targets: np.ndarray
    cross: np.ndarray

    def __sub__(self, other: Moments) -> Moments:
        """Return the sums without some of the examples."""
        return Moments(
            self.count - other.count,
            self.values - other.values,
            self.gram - other.gram,
            self.targets - other.targets,
            self.cross - other.cross,
        )


def find_moments(design: Design, folds: Folds | None = None) -> tuple[Moments, list[Moments]]:
    """Return the sums over all examples, and over those that each fold holds out.

    Raises:
        HeadError: If there are too many values for a matrix of all their products.
    """
    if design.width > WIDEST:
        raise HeadError(
            f"This kind of head takes up to {WIDEST:,} values per image, or fewer images than "
            f"values. Received: {len(design.examples):,} images of {design.width:,} values. "
            f"Choose {option('kind', 'linear')}, or a pooling with fewer values."
        )
    num_targets = 1 if design.examples.task == "regression" else design.examples.num_classes
    count = folds.count if folds is not None else 0
    sums = [_Sums(design.width, num_targets) for _ in range(count + 1)]
    start = 0
    for values, block in design.blocks():
        numbers = np.full(len(block), -1) if folds is None else folds.numbers[start:][: len(block)]
        for number in range(-1, count):
            rows = numbers == number
            if rows.all():
                sums[number].add(values, block)
            elif rows.any():
                sums[number].add(values[rows], block.take(rows))
        start += len(block)
    parts = [one.finish() for one in sums]
    total = parts[-1]
    for part in parts[:-1]:
        total = Moments(
            total.count + part.count,
            total.values + part.values,
            total.gram + part.gram,
            total.targets + part.targets,
            total.cross + part.cross,
        )
    return total, parts[:-1]


class _Sums:
    """Moments while they are summed, in float64 over blocks of float32."""

    def __init__(self, width: int, num_targets: int) -> None:
        self._count = 0.0
        self._values = np.zeros(width)
        self._gram = np.zeros((width, width))
        self._targets = np.zeros(num_targets)
        self._cross = np.zeros((num_targets, width))

    def add(self, values: np.ndarray, block: Examples) -> None:
        targets = make_targets(block)
        weighted = values
        if block.weights is not None:
            weighted = values * block.counts[:, np.newaxis].astype(np.float32)
        self._count += float(block.counts.sum())
        self._values += weighted.sum(axis=0, dtype=np.float64)
        self._gram += weighted.T @ values
        self._targets += targets.T @ block.counts
        self._cross += targets.T @ weighted

    def finish(self) -> Moments:
        return Moments(self._count, self._values, self._gram, self._targets, self._cross)


def make_targets(examples: Examples) -> np.ndarray:
    """Return targets as numbers (N, K): one-hot of classes, 0 or 1 of labels, or the numbers.

    One-hot rows come as a sparse matrix.
    """
    if examples.task == "single":
        from scipy.sparse import csr_array

        count = len(examples)
        one_hot: np.ndarray = csr_array(
            (np.ones(count, np.float32), examples.targets, np.arange(count + 1)),
            shape=(count, examples.num_classes),
        )
        return one_hot
    return np.asarray(examples.targets, np.float32).reshape(len(examples), -1)


def held_out_scores(
    design: Design, folds: Folds, maps: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return the scores (n, K) of all held-out rows, each by the map of its fold."""
    return np.concatenate(
        [design.take(test).scores(*one) for (_, test), one in zip(folds, maps, strict=True)]
    )
