"""What a head does with vectors: a few operations, computed here in NumPy.

They are data, so that the same prediction can also be written in another language: each has its
arrays and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

BLOCK_VALUES = 1 << 22
"""Numbers of a block of rows that is computed at once: 16 MB."""

FEW_ROWS = 256
"""So many are computed at once, however many classes there are."""


class Operation(Protocol):
    """Makes float32 (N, K) of float32 (N, D), each row by itself."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Compute all rows; N may be 0. What is given is not changed."""
        ...


def compute(operations: Sequence[Operation], values: np.ndarray) -> np.ndarray:
    """Apply operations one after the other.

    Args:
        operations: At least one.
        values: Numbers, (N, D).

    Returns:
        What the last one gives, float32 (N, K). Rows are computed in blocks, so that memory does
        not grow with them.

    Example:
        >>> two = Affine(np.array([[0.0], [1.0]]), np.zeros(2))
        >>> compute([two, Softmax()], np.array([[0.0]])).tolist()
        [[0.5, 0.5]]
    """
    width = max(1, values.shape[1])
    if len(values) > FEW_ROWS:  # There may be more classes than values.
        width = max(width, _compute(operations, values[:1]).shape[1])
    step = max(1, BLOCK_VALUES // width)
    first = _compute(operations, values[:step])
    if len(values) <= step:
        return first
    results = np.empty((len(values), first.shape[1]), np.float32)
    results[:step] = first
    for start in range(step, len(values), step):
        results[start : start + step] = _compute(operations, values[start : start + step])
    return results


def _compute(operations: Sequence[Operation], block: np.ndarray) -> np.ndarray:
    block = np.asarray(block, np.float32)
    for operation in operations:
        block = operation(block)
    return np.asarray(block, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Standardise:
    """``(x - mean) / scale``.

    Attributes:
        mean: (D,).
        scale: (D,), not 0.
    """

    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (N, D)."""
        return np.asarray((values - self.mean) / self.scale)


@dataclass(frozen=True, slots=True)
class UnitLength:
    """Divides each row by its Euclidean length; a row of zeros stays one."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (N, D)."""
        lengths = np.sqrt(np.einsum("nd,nd->n", values, values))[:, np.newaxis]
        return np.asarray(values / np.where(lengths > 0, lengths, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``x @ coefficients.T + intercepts``.

    Attributes:
        coefficients: (K, D).
        intercepts: (K,).
    """

    coefficients: np.ndarray
    intercepts: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (N, K)."""
        return np.asarray(values @ self.coefficients.T + self.intercepts)


@dataclass(frozen=True, slots=True)
class Relu:
    """``max(x, 0)``."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (N, D)."""
        return np.asarray(np.maximum(values, 0))


@dataclass(frozen=True, slots=True)
class Softmax:
    """``exp(x) / sum(exp(x))`` over each row."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (N, D), rows summing to 1."""
        # exp of large numbers would overflow.
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """``1 / (1 + exp(-x))``, of each value by itself."""

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (N, D), in [0, 1]."""
        return np.asarray(0.5 * (1 + np.tanh(0.5 * values)))  # Does not overflow.


@dataclass(frozen=True, slots=True, eq=False)
class NearestVote:
    """The nearest examples vote for their class, each with ``count * exp(x·e / temperature)``.

    Attributes:
        examples: Vectors e, (N, D).
        targets: Their class numbers, (N,).
        counts: How much each counts, (N,).
        num_classes: C.
        neighbours: How many vote; all where there are fewer.
        temperature: Above 0.
        smoothing: Votes of all classes together, each the same, beside one vote of all neighbours.
    """

    examples: np.ndarray
    targets: np.ndarray
    counts: np.ndarray
    num_classes: int
    neighbours: int
    temperature: float
    smoothing: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (n, C) of (n, D), rows summing to 1."""
        step = max(1, BLOCK_VALUES // max(1, len(self.examples)))
        shares = np.zeros((len(values), self.num_classes), np.float32)
        for start in range(0, len(values), step):
            block = values[start : start + step]
            self._vote(block, shares[start : start + step])
        shares += self.smoothing / self.num_classes
        shares /= 1 + self.smoothing
        return shares

    def _vote(self, values: np.ndarray, shares: np.ndarray) -> None:
        nearest, votes = _find_votes(self, values)
        rows = np.arange(len(values))[:, np.newaxis]
        np.add.at(shares, (rows, self.targets[nearest]), votes)


@dataclass(frozen=True, slots=True, eq=False)
class NearestMean:
    """Mean of what the nearest examples have, weighted with ``count * exp(x·e / temperature)``.

    Attributes:
        examples: Vectors e, (N, D).
        targets: What they have, float32 (N, K).
        counts: How much each counts, (N,).
        neighbours: How many count; all where there are fewer.
        temperature: Above 0.
        prior: What an example has on average, (K,).
        smoothing: How much that counts, beside 1 of all neighbours.
    """

    examples: np.ndarray
    targets: np.ndarray
    counts: np.ndarray
    neighbours: int
    temperature: float
    prior: np.ndarray
    smoothing: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (n, K) of (n, D)."""
        width = max(len(self.examples), self.neighbours * self.targets.shape[1])
        step = max(1, BLOCK_VALUES // max(1, width))
        means = np.zeros((len(values), self.targets.shape[1]), np.float32)
        for start in range(0, len(values), step):
            nearest, votes = _find_votes(self, values[start : start + step])
            means[start : start + step] = np.einsum("nk,nkc->nc", votes, self.targets[nearest])
        return np.asarray((means + self.smoothing * self.prior) / (1 + self.smoothing))


def _find_votes(
    operation: NearestVote | NearestMean, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest examples of each row, (n, k), and their votes, rows summing to 1."""
    products = values @ operation.examples.T
    number = min(operation.neighbours, products.shape[1])
    nearest = np.argpartition(-products, number - 1, axis=1)[:, :number]
    near = np.take_along_axis(products, nearest, axis=1) / operation.temperature
    votes = operation.counts[nearest] * np.exp(near - near.max(axis=1, keepdims=True))
    return nearest, votes / votes.sum(axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class Temper:
    """``p ** (1 / temperature)``, scaled to sum 1: softmax of logits divided by the temperature.

    Attributes:
        temperature: Positive; above 1, probabilities become more alike.
    """

    temperature: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return (N, C), rows summing to 1."""
        powers = np.power(values / values.max(axis=1, keepdims=True), 1 / self.temperature)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
