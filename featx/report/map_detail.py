"""In which order the points of a map are drawn, and in which one their pictures are stored."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

FINEST = 1024
"""Cells of a side from which on points are drawn in any order."""


def order_by_detail(positions: np.ndarray, first: Iterable[int] = ()) -> np.ndarray:
    """Order points so that the first n are spread over the map, for any n.

    The map is divided into 2 x 2 cells, then 4 x 4 and so on, and of every cell in which no point
    has been taken one is.

    Args:
        positions: In [0, 1], (N, 2).
        first: Points that go before others of their cell.

    Returns:
        Row numbers, int64 (N,).

    Example:
        >>> order_by_detail(np.array([[0, 0], [0.01, 0], [1, 1]])).tolist()
        [0, 2, 1]
    """
    is_first = np.zeros(len(positions), bool)
    is_first[list(first)] = True
    rest = np.argsort(~is_first, kind="stable")
    taken = rest[:0]
    side = 2
    while side <= FINEST and len(rest):
        cells = np.minimum((positions * side).astype(np.int64), side - 1)
        numbers = cells[:, 0] * side + cells[:, 1]
        _, places = np.unique(numbers[rest], return_index=True)
        places.sort()
        new = places[~np.isin(numbers[rest[places]], numbers[taken])]
        taken = np.concatenate([taken, rest[new]])
        rest = np.delete(rest, new)
        side *= 2
    return np.concatenate([taken, rest])


def order_by_level(positions: np.ndarray, size: int) -> np.ndarray:
    """Order points, themselves in the order of detail, so that what is seen together is together.

    The first `size` of them are a level, four times as many the next one, and so on; within a
    level, points follow a curve through the map on which what is near is mostly near each other
    (Morton, 1966). At any zoom, what is in view is in few pieces of few levels.

    Args:
        positions: In [0, 1], (N, 2).
        size: Points of the first level.

    Returns:
        Places in `positions`, int64 (N,).

    Example:
        >>> order_by_level(np.array([[0, 0], [1, 1], [0.1, 0], [0.9, 0.9], [0, 0.1]]), 2).tolist()
        [0, 1, 2, 4, 3]
    """
    level = np.ceil(np.log(np.maximum((np.arange(len(positions)) + 1) / size, 1)) / np.log(4))
    cells = np.minimum((positions * FINEST).astype(np.int64), FINEST - 1)
    curve = np.zeros(len(positions), np.int64)
    for bit in range(FINEST.bit_length()):
        for axis in range(2):
            curve |= (cells[:, axis] >> bit & 1) << (2 * bit + axis)
    return np.lexsort((curve, level))
