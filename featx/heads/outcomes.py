"""What the probabilities of many classes come down to, row by row: all of them take much memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np

BLOCK_VALUES = 1 << 20
"""Probabilities that are looked at together: 4 MB, for which there is room in a cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What a classifier said of N rows.

    Attributes:
        targets: True class numbers, (N,).
        predicted: Numbers of the most probable classes, (N,); of equal ones, the first.
        confidence: Probabilities of these, (N,), in [0, 1].
        own: Probabilities of the true classes, (N,), in [0, 1].
        place: How many classes come before the true one, (N,): 0 where the prediction is right.
    """

    targets: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    own: np.ndarray
    place: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Whether the most probable class is the true one, bool (N,)."""
        return np.asarray(self.predicted == self.targets)


def find_outcomes(probabilities: np.ndarray, targets: np.ndarray) -> Outcomes:
    """Return what N rows come down to.

    Args:
        probabilities: Shape (N, C), N at least 1.
        targets: True class numbers, (N,).

    Example:
        >>> find_outcomes(np.array([[0.7, 0.2, 0.1]]), np.array([1])).place
        array([1])
    """
    return join_outcomes(_find(*block) for block in iter_blocks(probabilities, targets))


def iter_blocks(
    probabilities: np.ndarray, targets: np.ndarray, rows: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield probabilities (n, C) and class numbers (n,), of some rows or of all."""
    step = max(1, BLOCK_VALUES // max(1, probabilities.shape[1]))
    for start in range(0, len(targets) if rows is None else len(rows), step):
        block = slice(start, start + step) if rows is None else rows[start : start + step]
        yield probabilities[block], targets[block]


def join_outcomes(parts: Iterable[Outcomes]) -> Outcomes:
    """Return the outcomes of all parts, at least one, as those of one."""
    found = list(parts)
    columns = (np.concatenate([getattr(part, one.name) for part in found]) for one in _FIELDS)
    return Outcomes(*columns)


_FIELDS = fields(Outcomes)


def _find(probabilities: np.ndarray, targets: np.ndarray) -> Outcomes:
    rows = np.arange(len(targets))
    predicted = probabilities.argmax(axis=1)
    own = probabilities[rows, targets]
    before = probabilities > own[:, np.newaxis]
    earlier = np.arange(probabilities.shape[1]) < targets[:, np.newaxis]
    before |= (probabilities == own[:, np.newaxis]) & earlier
    return Outcomes(targets, predicted, probabilities[rows, predicted], own, before.sum(axis=1))
