"""Groups of copies, of which every one is similar to the best: no chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from featx.curation.pairs import NearPairs
from featx.heads.near_duplicates import number_components
from featx.index.all_neighbours import BLOCK

MOST_AT_ONCE, MOST_VALUES = 256, 1 << 26
"""Rows that are compared with all others in one product, and results of it in memory."""

ROUNDING = 1e-4
"""By so much a product of many rows may differ from that of two."""

Mirrored = Mapping[int, Mapping[int, float]]
"""Row → the rows that it is a mirrored copy of, with their similarity; in both directions."""


def list_connected(found: NearPairs, mirrored: Mirrored) -> list[np.ndarray]:
    """Return the rows that pairs connect, each time at least two, in the order of the rows."""
    further = [(row, other) for row, others in mirrored.items() for other in others]
    pairs = np.concatenate([found.rows, np.array(further, np.int64).reshape(-1, 2)])
    numbers = number_components(pairs, len(found.first))
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers))[:-1]
    return [part for part in np.split(order, ends) if len(part) > 1]


def divide(
    rows: np.ndarray,
    found: NearPairs,
    mirrored: Mirrored,
    sides: np.ndarray | None,
    stays: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide connected rows into groups around their best ones.

    The best row takes those that are similar enough to it, then the best one of the others, and so
    on. So two pictures are not in one group because of a third one between them. Rows that nobody
    can do without are looked at again, since each may have copies of its own.

    Args:
        rows: Connected rows, the best first, (n,).
        found: The pairs.
        mirrored: Further pairs.
        sides: The side of each of all rows, (N,), -1 of none, where only groups on several sides
            are wanted; None where all are.
        stays: Which of all rows stay, whatever they are copies of, bool (N,).

    Yields:
        The rows of a group, the best first, (m,), and the similarity of the others to it, (m - 1,).
    """
    is_left, compared = np.ones(len(rows), bool), _Compared(rows, found)
    for place, best in enumerate(rows.tolist()):
        if not is_left[place]:
            continue
        is_left[place] = False
        left = np.flatnonzero(is_left)
        if not len(left) or not is_wanted(rows[is_left | (rows == best)], sides):
            return
        further = mirrored.get(best, {})
        near = left[compared.may_be_copies(place, left) | np.isin(rows[left], list(further))]
        similarity = found.compare(best, rows[near])
        for other, value in further.items():
            similarity[rows[near] == other] = value
        is_copy = similarity >= found.threshold.similarity - 1e-6
        is_copy |= np.isin(rows[near], list(further))
        near, similarity = near[is_copy], similarity[is_copy]
        order = np.argsort(-similarity, kind="stable")
        group = rows[np.append(place, near[order])]
        if len(near) and is_wanted(group, sides):
            yield group, similarity[order]
            is_left[near[~stays[rows[near]]]] = False
        # The very same picture has no other copies than the best one has.
        is_left[left[found.first[rows[left]] == found.first[best]]] = False


def is_wanted(rows: np.ndarray, sides: np.ndarray | None) -> bool:
    """Return whether rows are on several sides, or no sides are asked for."""
    if sides is None:
        return True
    known = sides[rows]
    known = known[known >= 0]
    return len(known) > 0 and bool(known.min() != known.max())


class _Compared:
    """Which of connected rows may be copies of each other, for many of them in one product.

    Where thousands of pictures are similar, one comparison for each of them takes too long.

    Args:
        rows: The rows, (n,).
        found: The pairs.
    """

    def __init__(self, rows: np.ndarray, found: NearPairs) -> None:
        self._rows, self._found = rows, found
        self._least = found.threshold.similarity - ROUNDING
        self._lines: dict[int, np.ndarray] = {}
        self._size = 1

    def may_be_copies(self, place: int, left: np.ndarray) -> np.ndarray:
        """Return for some places in the rows whether they are near the row at one, bool (m,)."""
        if place not in self._lines:
            self._compare(np.append(place, left[: self._size - 1]), left)
            self._size = min(2 * self._size, MOST_AT_ONCE, max(1, MOST_VALUES // len(self._rows)))
        first = self._found.first
        is_same = first[self._rows[left]] == first[self._rows[place]]
        return np.asarray(self._lines.pop(place)[left] | is_same)

    def _compare(self, places: np.ndarray, left: np.ndarray) -> None:
        directions = self._found.directions
        chosen = directions.take(self._rows[places])
        lines = np.zeros((len(places), len(self._rows)), bool)
        for start in range(0, len(left), BLOCK):
            block = left[start : start + BLOCK]
            lines[:, block] = chosen @ directions.take(self._rows[block]).T >= self._least
        self._lines = dict(zip(places.tolist(), lines, strict=True))
