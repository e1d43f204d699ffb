"""What is done to vectors before they are compared: unit length, principal components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from featx.errors import InvalidValue
from featx.index.container import Arrays, Section
from featx.index.options import IndexOptions
from featx.wording import option

PROJECTION_ARRAYS = ("mean", "components")
"""Arrays of a projection in a file; of one without components, there are none."""

PCA_ROWS = 50_000
"""Vectors that components are fitted on, at most, drawn from all over the store."""

CACHED_VALUES = 1 << 16
"""Values that are computed with at a time."""

LEAST_VARIANCE = 1e-12
"""Of a component, relative to the largest: below, it is rounding, and is not scaled up."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Turns features into what an index compares.

    Attributes:
        is_cosine: Whether vectors get length 1.
        mean: float32 (D,), and
        components: float32 (D, P), scaled if they whiten; both None without components.
    """

    is_cosine: bool = True
    mean: np.ndarray | None = None
    components: np.ndarray | None = None

    def prepare(self, vectors: np.ndarray) -> np.ndarray:
        """Return float32 (n, D) of unit length, where cosines are compared."""
        if self.is_cosine:
            return normalize_rows(vectors)
        return np.ascontiguousarray(vectors, np.float32)

    def project(self, prepared: np.ndarray) -> np.ndarray:
        """Return float32 (n, P) of what `prepare` returned."""
        if self.mean is None or self.components is None:
            return prepared
        projected = (prepared - self.mean) @ self.components
        return normalize_rows(projected) if self.is_cosine else projected

    def sections(self) -> list[Section]:
        """Return the arrays of it."""
        if self.mean is None or self.components is None:
            return []
        values = self.mean, self.components
        return list(map(Section.of, PROJECTION_ARRAYS, values))


def read_projection(arrays: Arrays, options: IndexOptions, width: int) -> Projection:
    """Return the projection in a file.

    Raises:
        ValueError: If its arrays cannot be one of vectors of `width` values.
    """
    is_cosine = options.metric == "cosine"
    if options.pca is None:
        return Projection(is_cosine)
    mean, components = arrays["mean"], arrays["components"]
    shapes = (mean.dtype, components.dtype, mean.shape, components.shape)
    if shapes != ("<f4", "<f4", (width,), (width, options.pca)):
        raise ValueError("its components have another shape")
    values = mean.take_all(), components.take_all()
    if not all(np.isfinite(value).all() for value in values):
        raise ValueError("its components hold NaN or infinity")
    return Projection(is_cosine, *values)


def fit_projection(vectors: np.ndarray, options: IndexOptions) -> Projection:
    """Fit principal components.

    Args:
        vectors: float32 (n, D), prepared.
        options: How many, and whether they whiten.

    Raises:
        InvalidValue: If there are fewer vectors or values than components.
    """
    is_cosine = options.metric == "cosine"
    if options.pca is None:
        return Projection(is_cosine)
    if options.pca > min(vectors.shape):
        raise InvalidValue(
            f"{len(vectors):,} vectors of {vectors.shape[1]:,} values have at most "
            f"{min(vectors.shape):,} principal components. Received: {option('pca', options.pca)}."
        )
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / len(vectors)
    variances, axes = np.linalg.eigh(covariance)  # Ascending.
    variances, axes = variances[::-1][: options.pca], axes[:, ::-1][:, : options.pca]
    if options.whiten:
        axes = axes / np.sqrt(np.maximum(variances, max(LEAST_VARIANCE * variances[0], 1e-30)))
    return Projection(
        is_cosine, mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32)
    )


def normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, so that their inner product is the cosine; zeros stay zeros.

    Example:
        >>> normalize_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    out = np.empty(vectors.shape, np.float32)
    for start, stop in _pieces(vectors):
        piece = vectors[start:stop]
        lengths = np.linalg.norm(piece.astype(np.float64), axis=1, keepdims=True)
        out[start:stop] = piece / np.where(lengths == 0, 1, lengths)
    return out


_SEED = 20_011


def hash_rows(vectors: np.ndarray) -> np.ndarray:
    """Return a uint64 (n,) hash of the bytes of each float32 row; equal rows have equal ones.

    A sum of products with random odd numbers, modulo 2**64: NumPy computes it at the speed of
    memory. -0.0 counts as 0.0.
    """
    random = np.random.default_rng(_SEED)
    factors = random.integers(0, 2**63, vectors.shape[1], np.uint64, endpoint=False)
    first, second = 2 * factors + np.uint64(1), factors | np.uint64(1)
    hashes = np.empty(len(vectors), np.uint64)
    for start, stop in _pieces(vectors):
        rows = np.ascontiguousarray(vectors[start:stop] + np.float32(0))
        mixed = rows.view(np.uint32) * first
        mixed ^= mixed >> np.uint64(32)
        mixed *= second
        hashes[start:stop] = mixed.sum(axis=1, dtype=np.uint64)
    return hashes


def _pieces(vectors: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield where pieces begin and end that a processor's cache holds: several times as fast."""
    step = max(1, CACHED_VALUES // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield start, min(len(vectors), start + step)


class SelfFinder:
    """Finds rows whose vector is that of a query, bit for bit.

    Args:
        hashes: uint64 (N,), in ascending order.
        rows: The row of each.
    """

    def __init__(self, hashes: np.ndarray, rows: np.ndarray) -> None:
        self._hashes, self._rows = hashes, rows

    def find(self, queries: np.ndarray) -> list[np.ndarray]:
        """Return the rows that equal each query, ascending."""
        wanted = hash_rows(queries)
        first = np.searchsorted(self._hashes, wanted, "left")
        last = np.searchsorted(self._hashes, wanted, "right")
        return [
            np.sort(self._rows[low:high].astype(np.int64))
            for low, high in zip(first, last, strict=True)
        ]

    def are_rows(self, vectors: np.ndarray, rows: np.ndarray) -> bool:
        """Whether vectors (n, D) are those of rows (n,), bit for bit."""
        wanted = hash_rows(vectors)
        first = np.searchsorted(self._hashes, wanted, "left")
        last = np.searchsorted(self._hashes, wanted, "right")
        if (first == last).any():
            return False
        others = np.flatnonzero(self._rows[first] != rows)  # Of equal vectors, another is first.
        return all(rows[one] in self._rows[first[one] : last[one]] for one in others)


def self_sections(hashes: np.ndarray) -> list[Section]:
    """Return the arrays of a `SelfFinder` of the hashes of N rows."""
    order = np.argsort(hashes, kind="stable")
    small = len(hashes) < 2**32
    return [
        Section.of("vector_hashes", hashes[order].astype("<u8")),
        Section.of("vector_rows", order.astype("<u4" if small else "<u8")),
    ]


def read_self_finder(arrays: Arrays, count: int) -> SelfFinder:
    """Return the `SelfFinder` in a file.

    Raises:
        ValueError: If its arrays cannot be one of `count` vectors.
    """
    hashes, rows = arrays["vector_hashes"], arrays["vector_rows"]
    if hashes.dtype != "<u8" or rows.dtype not in ("<u4", "<u8"):
        raise ValueError("its hashes of vectors are none")
    if hashes.shape != (count,) or rows.shape != (count,) or rows.all().max() >= count:
        raise ValueError("its hashes of vectors are too few or too many")
    return SelfFinder(hashes.all(), rows.all())


def concatenate(blocks: Iterable[np.ndarray], width: int) -> np.ndarray:
    """Return blocks of rows as one float32 array, which may have none."""
    return np.concatenate([np.zeros((0, width), np.float32), *blocks])
