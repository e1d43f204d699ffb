"""Near-duplicates: pictures whose features are almost equal, such as two copies of one photograph.

A picture that was scaled, or saved again, is another file. Where one copy is fitted on and the
other is measured on, the accuracy is too good to be true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from featx.heads.close_points import LEAF, find_close
from featx.machine import available_cores
from featx.numeric_threads import one_thread

Result = TypeVar("Result")

DEFAULT_SIMILARITY = 0.995
"""Cosine of features whose mean was subtracted, from which two pictures count as near-duplicates.

On 960 photographs of flowers (57 pairs of copies, looked at) it finds 55 to 57 of them with each of
two networks and with middle layers, and 1 to 2 further pairs, which are copies too; on 6,281 other
photographs it finds one pair, which is one. Without subtracting the mean, middle layers take dozens
of different pictures for copies: averaged activations all point in similar directions."""

NUM_DIRECTIONS = 32
"""Principal directions in which candidates are searched. Vectors that are close are close in every
projection, so that none is missed."""

SAMPLE = 512
"""Rows from which these directions are computed."""

BLOCK_BYTES = 2 << 20

MOST_PAIRS = 64
"""Candidates for each row, above which features are too much alike to tell copies."""


@dataclass(frozen=True, slots=True, eq=False)
class AlikePairs:
    """Pairs of rows that are alike.

    Attributes:
        rows: Row numbers, the smaller one first, each pair once: int64 (P, 2).
        similarity: Cosine of their features, less the mean of all: float32 (P,).
    """

    rows: np.ndarray
    similarity: np.ndarray


def find_alike(
    values: np.ndarray, similarity: float, *, mean: np.ndarray | None = None, seed: int = 0
) -> AlikePairs | None:
    """Find all pairs of near-duplicates.

    The search is exact up to rounding: candidates are rows that are close in a few principal
    directions of the centred vectors of unit length, and all of them are compared in full. Memory
    beyond the values is about 8 MiB for each core and 100 bytes a row.

    Args:
        values: Features, (N, D).
        similarity: Least cosine of two near-duplicates, after the mean is subtracted, in (0, 1].
        mean: What is subtracted, (D,); the mean of all rows when None.
        seed: For the rows from which the directions are computed.

    Returns:
        The pairs; None where so many rows are so much alike that it says nothing.

    Example:
        >>> values = np.random.default_rng(0).normal(size=(5, 8))
        >>> values[4] = values[0] + 0.001
        >>> find_alike(values, similarity=0.99).rows.tolist()
        [[0, 4]]
    """
    with one_thread():  # Small products: threads wait for each other where cores are busy.
        mean = mean_of(values) if mean is None else mean
        projected, usable = _project(values, mean, seed)
        radius = float(np.sqrt(2 * (1 - similarity))) + 1e-3  # Rounding of float32.
        most = MOST_PAIRS * max(len(usable), LEAF)
        candidates, count = [np.zeros((0, 2), np.int64)], 0
        for pairs in find_close(projected, radius):
            candidates.append(usable[pairs])
            count += len(pairs)
            if count > most:
                return None
        found = unique_pairs(np.concatenate(candidates), len(values))
        similarities = compare_pairs(values, mean, found)
    is_alike = similarities >= similarity - 1e-6
    return AlikePairs(found[is_alike], similarities[is_alike])


def group_alike(values: np.ndarray, similarity: float, seed: int = 0) -> np.ndarray | None:
    """Number the rows so that near-duplicates have the same number.

    A row belongs to a group when it is similar enough to one row of the group; see `find_alike`.

    Args:
        values: Features, (N, D).
        similarity: Least cosine of two near-duplicates, after the mean of all rows is subtracted,
            in (0, 1].
        seed: For the rows from which the directions are computed.

    Returns:
        Group numbers, (N,); None where so many rows are so much alike that it says nothing.

    Example:
        >>> values = np.random.default_rng(0).normal(size=(5, 8))
        >>> values[4] = values[0] + 0.001
        >>> group_alike(values, similarity=0.99).tolist()
        [0, 1, 2, 3, 0]
    """
    found = find_alike(values, similarity, seed=seed)
    return None if found is None else number_components(found.rows, len(values))


def mean_of(values: np.ndarray) -> np.ndarray:
    """Return the mean of N vectors, float32 (D,), block by block."""
    sums = _over_blocks(lambda block: block.sum(axis=0, dtype=np.float64), values)
    return np.asarray(np.sum(sums, axis=0) / len(values), np.float32)


def join_groups(*groupings: np.ndarray) -> np.ndarray:
    """Join groupings of the same N rows: rows that are together in one are together in the result.

    Args:
        groupings: Group numbers from 0, (N,) each.

    Returns:
        Group numbers from 0, (N,), in the order in which groups first occur.

    Example:
        >>> join_groups(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
        [0, 0, 0, 1]
    """
    pairs = []
    for grouping in groupings:
        _, first, groups = np.unique(grouping, return_index=True, return_inverse=True)
        pairs.append(np.stack([first[groups.reshape(-1)], np.arange(len(grouping))], axis=1))
    return number_components(np.concatenate(pairs), len(groupings[0]))


def unique_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """Return each pair of rows once, the smaller number first.

    Args:
        pairs: Row numbers, (P, 2).
        count: How many rows there are.

    Example:
        >>> unique_pairs(np.array([[2, 1], [0, 1], [1, 2]]), 3).tolist()
        [[0, 1], [1, 2]]
    """
    ordered = np.sort(pairs, axis=1)
    return np.stack(np.divmod(np.unique(ordered[:, 0] * count + ordered[:, 1]), count), axis=1)


def _project(values: np.ndarray, mean: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return centred unit vectors in their principal directions, and the rows that have one."""
    random = np.random.default_rng(seed)
    sample, _ = scale_rows(values[np.sort(random.permutation(len(values))[:SAMPLE])], mean)
    spread, axes = np.linalg.eigh((sample @ sample.T).astype(np.float64))  # In ascending order.
    axes = axes[:, spread > 1e-6 * max(spread[-1], 1e-6)][:, -NUM_DIRECTIONS:]
    directions = np.linalg.qr(sample.T @ axes)[0].astype(np.float32)

    def project(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        centred, lengths, is_usable = _centre(block, mean)
        return (centred @ directions)[is_usable] / lengths[is_usable, np.newaxis], is_usable

    projected, usable = zip(*_over_blocks(project, values), strict=True)
    return np.concatenate(projected), np.flatnonzero(np.concatenate(usable))


def compare_pairs(values: np.ndarray, mean: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows, less a mean: float32 (P,).

    Args:
        values: Features, (N, D).
        mean: What is subtracted, (D,).
        pairs: Row numbers, (P, 2).
    """
    similarities = [np.zeros(0, np.float32)]
    for _, block in _blocks(len(pairs), 2 * values.shape[1]):
        one, _ = scale_rows(values[pairs[block, 0]], mean)
        other, _ = scale_rows(values[pairs[block, 1]], mean)
        similarities.append(np.einsum("ij,ij->i", one, other))
    return np.concatenate(similarities)


def scale_rows(values: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract a mean and scale to unit length; rows that are the mean have no direction.

    Args:
        values: Features, (n, D).
        mean: What is subtracted, (D,).

    Returns:
        float32 (n, D), and which rows have a direction, bool (n,).
    """
    centred, lengths, usable = _centre(values, mean)
    centred /= np.where(usable, lengths, 1)[:, None]
    return centred, usable


def _centre(values: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows less a mean, float32 (n, D), their lengths, and which are not the mean, (n,)."""
    centred = np.subtract(values, mean, dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    return centred, lengths, lengths > 1e-6 * max(1.0, float(np.linalg.norm(mean)))


def _over_blocks(function: Callable[[np.ndarray], Result], values: np.ndarray) -> list[Result]:
    """Return what a function makes of each block of rows; a core computes one at a time."""
    with ThreadPoolExecutor(available_cores()) as pool:
        blocks = _blocks(*values.shape)
        return list(pool.map(lambda block: function(values[block[1]]), blocks))


def _blocks(count: int, width: int) -> Iterator[tuple[int, slice]]:
    size = max(1, BLOCK_BYTES // (4 * max(width, 1)))
    for start in range(0, count, size):
        yield start, slice(start, min(start + size, count))


def number_components(pairs: np.ndarray, count: int) -> np.ndarray:
    """Number the rows that pairs connect, in the order in which they first occur.

    Args:
        pairs: Row numbers, (P, 2).
        count: How many rows there are.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    _, numbers = connected_components(links, directed=False)
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[inverse.reshape(-1)])
