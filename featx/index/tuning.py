"""Recall: measured with vectors of the store itself, and tuned to what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.index.kinds import Effort, Parameters, Space, VectorSearch
from featx.index.nearest import find_nearest

NEIGHBOURS = 10
"""Recall is that of the 10 nearest, the vector itself not counted."""

QUERIES = 1000
"""Vectors with which recall is measured, at most: its standard error is then about 0.003."""

CANDIDATES = (12, 16, 24, 32, 48, 64, 100, 150, 250, 400)
"""How many of the best by compressed vectors may be ranked by exact ones, for 10 matches."""

WIDE = 4
"""With this one of `CANDIDATES` it is seen whether exact ranking would reach the goal."""

WORTH = 4.0
"""How much more is looked at rather than ranking exactly, which reads a chunk of the store for
each candidate."""


class ExactNeighbours:
    """The exact neighbours of some rows among all, from blocks as they are read.

    Args:
        rows: int64 (Q,): the rows.
        vectors: float32 (Q, D): their vectors.
        space: The vectors of the index.
    """

    def __init__(self, rows: np.ndarray, vectors: np.ndarray, space: Space) -> None:
        self.rows, self.vectors = rows, vectors
        self.space = space
        self._count = min(NEIGHBOURS + 1, space.count)
        self._scores = np.full((len(rows), self._count), -np.inf, np.float32)
        self._found = np.full((len(rows), self._count), -1, np.int64)
        self._next = 0

    @property
    def is_complete(self) -> bool:
        """Whether all vectors have been seen."""
        return self._next == self.space.count

    def watch(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass blocks of projected vectors on, the first time with a look at each."""
        start = 0
        for block in blocks:
            if start == self._next:
                self._look(block)
            start += len(block)
            yield block

    def _look(self, block: np.ndarray) -> None:
        count = min(self._count, len(block))
        scores, rows = find_nearest(self.vectors, block, count, self.space)
        scores = np.concatenate([self._scores, scores], axis=1)
        rows = np.concatenate([self._found, rows + self._next], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self._count]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self._found = np.take_along_axis(rows, best, axis=1)
        self._next += len(block)

    def find_hits(self, scores: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Return which rows that were found are neighbours, bool (Q, C).

        A row with the very score of a neighbour counts as one: it is equal to it.

        Args:
            scores: float32 (Q, C), by the index.
            found: int64 (Q, C): rows, best first.
        """
        is_hit = np.empty(found.shape, np.bool_)
        for line, row in enumerate(self.rows):
            others = self._found[line][self._found[line] != row][:NEIGHBOURS]
            is_hit[line] = np.isin(found[line], others)
            is_hit[line] |= np.isin(scores[line], scores[line][is_hit[line]])
            is_hit[line] &= (found[line] != row) & (found[line] >= 0)
        return is_hit

    @property
    def neighbours(self) -> int:
        """How many neighbours each query has."""
        return min(NEIGHBOURS, self.space.count - 1)


@dataclass(frozen=True, slots=True)
class Tuned:
    """Parameters with which an index is to be searched, and the recall that they reach."""

    parameters: Parameters
    recall: float


def tune(search: VectorSearch, truth: ExactNeighbours, goal: float) -> Tuned:
    """Choose the least effort with which recall reaches `goal`, or the best there is.

    Ranking by exact vectors is left out where recall is reached without: it reads the store.

    Args:
        search: The index.
        truth: Exact neighbours.
        goal: The share of the 10 nearest that is to be found.
    """
    if not truth.neighbours or not len(truth.rows):
        return Tuned({}, 1.0)
    tried: list[Tuned] = []
    first: Effort | None = None
    for effort in search.efforts():
        tried.append(_measure(search, effort.parameters, 0, truth))
        if tried[-1].recall >= goal:
            return tried[-1]
        ranked = _measure(search, effort.parameters, CANDIDATES[WIDE], truth)
        if first is None and ranked.recall >= goal:
            first = effort
        if first is not None and effort.cost >= WORTH * first.cost:
            break
    efforts = search.efforts()[: len(tried)] if first is None else [first]
    best = max(tried, key=lambda one: one.recall)
    for candidates in CANDIDATES:
        most = _measure(search, efforts[-1].parameters, candidates, truth)
        best = max(best, most, key=lambda one: one.recall)
        for effort in efforts if most.recall >= goal else ():
            ranked = _measure(search, effort.parameters, candidates, truth)
            if ranked.recall >= goal:
                return ranked
    return best


def _measure(
    search: VectorSearch, parameters: Parameters, candidates: int, truth: ExactNeighbours
) -> Tuned:
    """Return parameters with the recall that they reach.

    Args:
        search: The index.
        parameters: How it is searched.
        candidates: How many matches are ranked exactly; 0 if none are.
        truth: Exact neighbours.
    """
    parameters = {**parameters, "candidates": candidates}
    count = min(max(candidates, NEIGHBOURS) + 1, truth.space.count)
    scores, rows = search.with_parameters(parameters).search(truth.vectors, count)
    others = rows != truth.rows[:, None]
    others &= np.cumsum(others, axis=1) <= count - 1  # The first ones that are not the vector.
    hits = (truth.find_hits(scores, rows) & others).sum(axis=1)
    recall = np.minimum(hits, truth.neighbours).mean() / truth.neighbours
    return Tuned(parameters, float(recall))
