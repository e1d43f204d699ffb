"""In which order the points of a map are drawn, so that any first ones show all of it."""

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
