"""An index of lists brought up to date: codes of old vectors are copied, new ones encoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.index.codes import Coder
from featx.index.kinds import Space, Vectors
from featx.index.lists import CodeFile, ListContent, MappedLists
from featx.index.training import train_centres

DRIFT = 3.0
"""A list that holds this many times what it was trained for, or the mean, is trained again."""

TRAINED_ROWS = 8192
"""Vectors that lists are trained again with, at most."""


class Kept:
    """What of the old lists is kept, under new row numbers.

    Args:
        lists: The old lists.
        old_rows: int64 (N,): the old row of each vector, -1 for new ones.
        old_count: How many there were.
    """

    def __init__(self, lists: MappedLists, old_rows: np.ndarray, old_count: int) -> None:
        self._lists = lists
        self._new_of_old = np.full(old_count, -1, np.int64)
        known = np.flatnonzero(old_rows >= 0)
        self._new_of_old[old_rows[known]] = known
        is_kept = np.zeros(len(old_rows), np.bool_)  # Of two with one old row, one is.
        is_kept[self._new_of_old[self._new_of_old >= 0]] = True
        self.new_rows = np.flatnonzero(~is_kept)

    def take(self, number: int) -> ListContent:
        """Return what is kept of a list."""
        codes, rows = self._lists.take(number)
        new = self._new_of_old[rows]
        return codes[new >= 0], new[new >= 0]

    def members(self, number: int) -> np.ndarray:
        """Return the new row numbers of what is kept of a list."""
        new = self._new_of_old[self._lists.take(number)[1]]
        return new[new >= 0]

    def sizes(self, num_lists: int) -> np.ndarray:
        """Return how many vectors are kept of each list, int64; 0 for lists that are new."""
        sizes = np.zeros(num_lists, np.int64)
        sizes[: len(self)] = [len(self.members(number)) for number in range(len(self))]
        return sizes

    def __len__(self) -> int:
        return len(self._lists.layout.sizes)


@dataclass(frozen=True, slots=True)
class Change:
    """Changed vectors.

    Attributes:
        vectors: The new vectors.
        space: The space of them all.
        kept: What is kept of the old ones.
    """

    vectors: Vectors
    space: Space
    kept: Kept

    @property
    def mean_size(self) -> float:
        """Vectors of a list, on average."""
        return self.space.count / len(self.kept)

    def find_drifted(self, coder: Coder, trained: np.ndarray) -> np.ndarray:
        """Return the numbers of lists that hold far more than they were trained for."""
        new = coder.find_lists(coder.rotate(self.vectors.take(self.kept.new_rows)))
        sizes = self.kept.sizes(len(coder)) + np.bincount(new, minlength=len(coder))
        return np.flatnonzero(sizes > DRIFT * np.maximum(trained, self.mean_size))

    def find_rows(self, drifted: np.ndarray) -> np.ndarray:
        """Return the rows that are encoded: new ones, and those of lists that drifted."""
        again = [self.kept.members(int(number)) for number in drifted]
        return np.sort(np.concatenate([self.kept.new_rows, *again]))

    def train_again(self, coder: Coder, drifted: np.ndarray, rows: np.ndarray) -> Coder:
        """Return a coder with several centres in place of each that drifted."""
        chosen = rows[:: max(1, len(rows) // TRAINED_ROWS)]
        training = coder.rotate(self.vectors.take(chosen))
        count = max(len(drifted) + 1, round(len(rows) / self.mean_size))
        found = train_centres(training, min(count, len(training)), self.space)
        found = np.concatenate([found, coder.centres[drifted][len(found) :]])
        centres = np.concatenate([coder.centres, found[len(drifted) :]])
        centres[drifted] = found[: len(drifted)]
        return Coder(self.space, centres, coder.extra, coder.recipe)

    def join(self, drifted: np.ndarray, codes: CodeFile) -> Iterator[ListContent]:
        """Yield what is kept of each list, and behind it what is new in it."""
        is_new = set(drifted.tolist())
        for number in range(len(codes.sizes)):
            new_codes, new_rows = codes.take(number)
            if number in is_new or number >= len(self.kept):
                yield new_codes, new_rows
            else:
                old_codes, old_rows = self.kept.take(number)
                yield np.concatenate([old_codes, new_codes]), np.concatenate([old_rows, new_rows])
