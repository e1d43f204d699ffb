"""Examples as a linear model takes them: standardised, in as few coordinates as they need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.heads.kinds import Examples
from featx.heads.stored_values import are_stored, subtract
from featx.heads.threads import over_blocks

SAFE_OFFSET = 100.0
"""Means up to so many standard deviations are subtracted after the product, from its result. In
float32 (7 digits) that costs two of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Standardised examples, computed where they are needed: nothing is copied.

    Attributes:
        examples: The examples, or their coordinates (N, R).
        mean: (R,), to subtract.
        scale: (R,), to divide by, not 0.
        basis: (R, D): the coordinates' axes in standardised values, orthonormal; None where the
            coordinates are the values.
        standard: ``mean`` and ``scale`` (D,) of the values themselves.
    """

    examples: Examples
    mean: np.ndarray
    scale: np.ndarray
    basis: np.ndarray | None
    standard: tuple[np.ndarray, np.ndarray]

    @property
    def width(self) -> int:
        """R, the number of coordinates."""
        return len(self.mean)

    def take(self, rows: np.ndarray) -> Design:
        """Return some of the rows, standardised as before."""
        return Design(self.examples.take(rows), self.mean, self.scale, self.basis, self.standard)

    def blocks(self) -> Iterator[tuple[np.ndarray, Examples]]:
        """Yield standardised rows, float32 (n, R), and the examples that they are of."""
        mean, scale = self.mean.astype(np.float32), self.scale.astype(np.float32)
        for block in self.examples.blocks():
            yield (block.values - mean) / scale, block

    def scores(self, coefficients: np.ndarray, intercepts: np.ndarray) -> np.ndarray:
        """Return a linear map of all rows, float32 (N, K), of coefficients (K, R)."""
        inner, offsets = self.fold(coefficients, intercepts)
        inner, offsets = inner.astype(np.float32), offsets.astype(np.float32)
        return np.concatenate(
            [block.values @ inner.T + offsets for block in self.examples.blocks()]
        )

    def fold(
        self, coefficients: np.ndarray, intercepts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the map (K, R) that does the same with values that are not standardised."""
        inner = coefficients / self.scale
        return inner, intercepts - inner @ self.mean

    def weights(self, coefficients: np.ndarray, intercepts: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays of a head with this linear map (K, R)."""
        if self.basis is not None:
            coefficients = coefficients @ self.basis
        mean, scale = self.standard
        return {
            "mean": mean.astype(np.float32),
            "scale": scale.astype(np.float32),
            "coefficients": np.asarray(coefficients, np.float32),
            "intercepts": np.asarray(intercepts, np.float32),
        }


def make_design(examples: Examples) -> Design:
    """Standardise examples.

    With fewer examples than values, N < D, they span N dimensions only: a model with a penalty on
    the squared length of its coefficients stays in them, so it is fitted there.
    """
    mean, scale = find_standard(examples)
    count, width = examples.values.shape
    if width > count and not are_stored(examples.values):
        return _compact(examples, mean, scale)
    if (np.abs(mean) > SAFE_OFFSET * scale).any():
        centred = examples.replace_values(subtract(examples.values, mean))
        return Design(centred, np.zeros(width), scale, None, (mean, scale))
    return Design(examples, mean, scale, None, (mean, scale))


def find_standard(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each value, float64 (D,); 1 for constant ones."""
    total = float(examples.counts.sum())

    def add(block: Examples) -> np.ndarray:
        return _sum(np.asarray(block.values, np.float32), block)

    def add_squares(block: Examples) -> np.ndarray:
        centred = np.asarray(block.values, np.float32) - rounded
        return _sum(np.square(centred, out=centred), block)

    mean = np.sum(list(over_blocks(add, examples)), axis=0) / total
    rounded = mean.astype(np.float32)
    squares = np.sum(list(over_blocks(add_squares, examples)), axis=0)
    scale = np.sqrt(squares / total)
    # A value that is constant up to rounding says nothing, and must not be blown up.
    scale[scale <= 1e-6 * np.abs(mean)] = 1
    scale[scale == 0] = 1
    return mean, scale


def _sum(values: np.ndarray, examples: Examples) -> np.ndarray:
    """Return the sum over rows, each as often as its example counts, float64 (D,)."""
    if examples.weights is None:
        return np.asarray(values.sum(axis=0, dtype=np.float64))
    return np.asarray(examples.counts @ values)


def _compact(examples: Examples, mean: np.ndarray, scale: np.ndarray) -> Design:
    """Rotate N examples of more than N values into the space that they span."""
    values = np.concatenate([(block.values - mean) / scale for block in examples.blocks()])
    lengths, vectors = np.linalg.eigh(np.asarray(values @ values.T, np.float64))
    kept = lengths > 1e-9 * max(lengths[-1], 1e-300)
    if not kept.any():  # All values are constant.
        kept[-1], lengths[-1] = True, 1.0
    roots = np.sqrt(lengths[kept])
    basis = (vectors[:, kept] / roots).T @ values
    coordinates = np.asarray(vectors[:, kept] * roots, np.float32)
    count = len(roots)
    return Design(
        examples.replace_values(coordinates), np.zeros(count), np.ones(count), basis, (mean, scale)
    )
