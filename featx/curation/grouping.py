"""Groups of copies, of which every one is similar to the best: no chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from featx.curation.pairs import NearPairs
from featx.heads.near_duplicates import number_components

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
    is_wanted: Callable[[np.ndarray], bool],
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
        is_wanted: Whether rows can be a group.
        stays: Which of all rows stay, whatever they are copies of, bool (N,).

    Yields:
        The rows of a group, the best first, (m,), and the similarity of the others to it, (m - 1,).
    """
    while len(rows) > 1 and is_wanted(rows):
        best, others = int(rows[0]), rows[1:]
        similarity = found.compare(best, others)
        is_copy = similarity >= found.threshold.similarity - 1e-6
        for other, value in mirrored.get(best, {}).items():
            is_copy |= others == other
            similarity[others == other] = value
        order = np.argsort(-similarity[is_copy], kind="stable")
        group = np.append(best, others[is_copy][order])
        # The very same picture has no other copies than the best one has.
        is_done = found.first[others] == found.first[best]
        if is_copy.any() and is_wanted(group):
            yield group, similarity[is_copy][order]
            is_done |= is_copy & ~stays[others]
        rows = others[~is_done]
