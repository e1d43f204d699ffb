"""Points that are close to each other, without a comparison of all: exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np

FEW_DIRECTIONS = 12
"""The most spread directions, in which nearly all rows are seen to be apart: half the work."""

LEAF = 1024
"""Rows that are compared with each other without being divided further."""

TILE = 256
"""Rows that are compared with as many at once: their 65,536 distances stay in the cache (0.6 ns for
a pair in few directions, 1.4 in all; with 1,024 rows, 5.7)."""


def find_close(points: np.ndarray, radius: float) -> Iterator[np.ndarray]:
    """Yield pairs of points that are at most `radius` apart, (n, 2); some of them twice.

    The points are divided at the median of the direction in which they are spread most, again and
    again. Those within half a radius of the border go to both sides: no pair is separated.
    """
    parts = [np.arange(len(points))]
    while parts:
        rows = parts.pop()
        if len(rows) > LEAF:
            direction = points[rows].var(axis=0).argmax()
            along = points[rows, direction]
            middle = np.median(along)
            lower, upper = along <= middle + radius / 2, along >= middle - radius / 2
            # Further divisions are worth it while they save a quarter of the comparisons.
            if lower.sum() ** 2 + upper.sum() ** 2 < 0.75 * len(rows) ** 2:
                parts += [rows[lower], rows[upper]]
                continue
        if len(rows) > 1:
            yield from (rows[pairs] for pairs in _compare(points[rows], radius))


def _compare(points: np.ndarray, radius: float) -> Iterator[np.ndarray]:
    """Yield pairs of points that are at most `radius` apart, (n, 2), in tiles that fit a cache."""
    widest = np.argsort(points.var(axis=0))[-FEW_DIRECTIONS:]
    order = _arrange(points[:, widest])
    points = points[order]
    factors = [_factor_distances(some) for some in (points[:, widest], points)]
    starts = np.arange(0, len(points), TILE)
    lower = np.minimum.reduceat(points[:, widest], starts)
    upper = np.maximum.reduceat(points[:, widest], starts)

    def may_be_near(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        gaps = np.maximum(lower[one] - upper[two], lower[two] - upper[one])
        return np.asarray(np.square(np.maximum(gaps, 0)).sum(axis=-1) <= radius**2)

    def compare_tile(start: int, other: int) -> np.ndarray:
        for left, right in factors:
            distances = left[start : start + TILE] @ right[other : other + TILE].T
            if distances.min() > radius**2 / 2:  # Nearly always, in few directions.
                return np.zeros((0, 2), np.int64)
        near = distances <= radius**2 / 2
        if other == start:
            near &= np.tri(len(near), k=-1, dtype=bool).T
        return np.asarray(order[np.argwhere(near) + np.array([start, other])])

    def compare_block(corner: tuple[int, int]) -> np.ndarray:
        ends = (range(first, min(first + LEAF, len(points)), TILE) for first in corner)
        one, two = (np.array(end) for end in ends)
        is_wanted = one[:, np.newaxis] <= two
        is_wanted &= may_be_near(one[:, np.newaxis] // TILE, two // TILE)
        tiles = [compare_tile(one[row], two[column]) for row, column in np.argwhere(is_wanted)]
        return np.concatenate([np.zeros((0, 2), np.int64), *tiles])

    # In one thread: products of tiles are so small that two wait for Python's lock all the time.
    yield from map(compare_block, combinations_with_replacement(range(0, len(points), LEAF), 2))


def _arrange(points: np.ndarray) -> np.ndarray:
    """Return an order of points, (n,), in which those of a tile are close.

    Strips along the last direction, each of them sorted along the one before it: many other tiles
    are then seen to be far without a comparison.
    """
    if points.shape[1] < 2:
        return np.arange(len(points))
    strip = TILE * max(1, math.isqrt(len(points) // TILE))
    along = np.argsort(points[:, -1], kind="stable")
    strips = (along[start : start + strip] for start in range(0, len(points), strip))
    return np.concatenate([rows[np.argsort(points[rows, -2], kind="stable")] for rows in strips])


def _factor_distances(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return L, R, float32: L Rᵀ are halves of all squared distances, (|p|² + |q|²) / 2 - p·q."""
    halves, ones = np.square(points).sum(axis=1) / 2, np.ones(len(points))
    left = np.column_stack([-points, halves, ones]).astype(np.float32)
    return left, np.column_stack([points, ones, halves]).astype(np.float32)
