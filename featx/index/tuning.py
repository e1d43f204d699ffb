"""Recall: measured with vectors of the store itself, and tuned to what was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from featx.index.kinds import Effort, Parameters, Space, VectorSearch
from featx.index.nearest import find_nearest, join_best

NEIGHBOURS = 10
"""Recall is that of the 10 nearest, the vector itself not counted."""

QUERIES = 500
"""Vectors with which recall is measured, at most: its standard error is then about 0.002."""

CANDIDATES = (12, 16, 24, 32, 48, 64, 100, 150, 250, 400)
"""How many of the best by compressed vectors may be ranked by exact ones, for 10 matches."""

WIDE = 100
"""With this one of `CANDIDATES` it is seen whether exact ranking would reach the goal."""

WORTH = 2.0
"""How much more is looked at rather than ranking exactly, which reads the store."""

LOOKED_AT = 5e7
"""Vectors that are looked at to measure one effort; of a large one, with fewer queries."""

FEWEST_QUERIES = 100


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
        known = self._scores, self._found
        self._scores, self._found = join_best(known, (scores, rows + self._next), self._count)
        self._next += len(block)

    def find_hits(self, lines: np.ndarray, scores: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Return which rows that were found are neighbours, bool (Q, C).

        A row with the very score of a neighbour counts as one: it is equal to it.

        Args:
            lines: int (Q,): which of the rows were asked for.
            scores: float32 (Q, C), by the index.
            found: int64 (Q, C): rows, best first.
        """
        exact, own = self._found[lines], self.rows[lines, None]
        is_other = exact != own
        is_other &= np.cumsum(is_other, axis=1) <= NEIGHBOURS
        exact = np.where(is_other, exact, -2)
        is_hit = (found[:, :, None] == exact[:, None, :]).any(axis=2)
        runs = np.zeros(found.shape, np.int64)  # Of equal scores, over all queries.
        runs[:, 1:] = scores[:, 1:] != scores[:, :-1]
        runs[1:, 0] = 1
        runs = np.cumsum(runs).reshape(found.shape)
        is_hit = (np.bincount(runs[is_hit], minlength=runs[-1, -1] + 1) > 0)[runs]
        return np.asarray(is_hit & (found != own) & (found >= 0))

    @property
    def neighbours(self) -> int:
        """How many neighbours each query has."""
        return min(NEIGHBOURS, self.space.count - 1)


@dataclass(frozen=True, slots=True)
class Tuned:
    """Parameters with which an index is to be searched, and the recall that they reach."""

    parameters: Parameters
    recall: float


def efforts_within(search: VectorSearch, most: float) -> Sequence[Effort]:
    """Return the efforts of an index that look at no more than a share of the vectors, or the
    least."""
    efforts = search.efforts()
    return [effort for effort in efforts if effort.cost <= most] or efforts[:1]


def tune(
    search: VectorSearch,
    truth: ExactNeighbours,
    goal: float,
    *,
    ranks: bool = True,
    most: float = 1.0,
) -> Tuned:
    """Choose the least effort with which recall reaches `goal`, or the best there is.

    Ranking by exact vectors is left out where it saves little: it reads the store.

    Args:
        search: The index.
        truth: Exact neighbours.
        goal: The share of the 10 nearest that is to be found.
        ranks: Whether what is found can be ranked by exact vectors.
        most: The share of the vectors that may be looked at.
    """
    if not truth.neighbours or not len(truth.rows):
        return Tuned({}, 1.0)
    tuning = _Tuning(search, truth, goal, efforts_within(search, most))
    plain, ranked = tuning.find_efforts(ranks=ranks)
    if plain is None and not ranks:
        return tuning.measure(tuning.efforts[-1], 0)
    if plain is not None and (ranked is None or not tuning.saves_much(ranked, plain)):
        return tuning.confirm(plain, [0])
    if ranked is None:
        ranked = len(tuning.efforts) - 1
    return tuning.confirm(ranked, CANDIDATES)


class _Tuning:
    def __init__(
        self,
        search: VectorSearch,
        truth: ExactNeighbours,
        goal: float,
        efforts: Sequence[Effort],
    ) -> None:
        self._search, self._truth, self._goal = search, truth, goal
        self.efforts = efforts
        self._recalls: dict[int, dict[int, float]] = {}

    def find_efforts(self, *, ranks: bool) -> tuple[int | None, int | None]:
        """Return the number of the least effort that reaches the goal, without and with ranking.

        Every second is tried, until one does without or is too much more than the other.
        """
        ranked: int | None = None
        last = len(self.efforts) - 1
        for number in sorted({*range(0, last, 2), last}):
            if ranks and ranked is None and self._reaches(number, WIDE):
                ranked = self._step_back(number, WIDE)
            if self._reaches(number, 0):
                return self._step_back(number, 0), ranked
            if ranked is not None and self.saves_much(ranked, number):
                break
        return None, ranked

    def saves_much(self, ranked: int, plain: int) -> bool:
        """Whether one effort with ranking is worth it, in place of another without."""
        return self.efforts[plain].cost >= WORTH * self.efforts[ranked].cost

    def confirm(self, number: int, choices: Sequence[int]) -> Tuned:
        """Measure an effort with what is ranked, and more, until the goal is reached."""
        best = Tuned({}, -1.0)
        expected = self._recalls.get(number, {})
        for effort in self.efforts[number:]:
            for candidates in choices:
                if expected.get(candidates, 1.0) < self._goal:
                    continue
                tuned = self.measure(effort, candidates)
                best = max(best, tuned, key=lambda one: one.recall)
                if tuned.recall >= self._goal:
                    return tuned
            expected = {}
            choices = choices[-1:]
        return best

    def measure(self, effort: Effort, candidates: int) -> Tuned:
        """Measure recall as it is when that is asked for."""
        scores, rows, lines = self._find(effort, candidates)
        recall = self._to_recall(self._truth.find_hits(lines, scores, rows))
        return Tuned({**effort.parameters, "candidates": candidates}, recall)

    def _step_back(self, number: int, candidates: int) -> int:
        """Return the number before where that reaches the goal, too."""
        return number - 1 if number and self._reaches(number - 1, candidates) else number

    def _reaches(self, number: int, candidates: int) -> bool:
        """Whether recall reaches the goal; one search says it for all numbers of candidates."""
        if number not in self._recalls:
            scores, rows, lines = self._find(self.efforts[number], WIDE)
            hits = self._truth.find_hits(lines, scores, rows)
            others = np.cumsum(rows >= 0, axis=1)
            self._recalls[number] = {
                most: self._to_recall(hits & (others <= max(most, NEIGHBOURS)))
                for most in (0, *(one for one in CANDIDATES if one <= WIDE))
            }
        return self._recalls[number][candidates] >= self._goal

    def _find(self, effort: Effort, candidates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scores and rows that are found besides the vector itself, and for which rows."""
        truth = self._truth
        count = min(max(candidates, NEIGHBOURS) + 1, truth.space.count)
        most = LOOKED_AT / max(1.0, effort.cost * truth.space.count)
        number = min(len(truth.rows), max(FEWEST_QUERIES, int(most)))
        lines = np.linspace(0, len(truth.rows) - 1, number).astype(np.int64)
        search = self._search.with_parameters(effort.parameters)
        scores, rows = search.search(np.ascontiguousarray(truth.vectors[lines]), count)
        is_other = rows != truth.rows[lines, None]
        is_other &= np.cumsum(is_other, axis=1) <= count - 1  # The first that are not the vector.
        return scores, np.where(is_other, rows, -1), lines

    def _to_recall(self, is_hit: np.ndarray) -> float:
        hits = np.minimum(is_hit.sum(axis=1), self._truth.neighbours)
        return float(hits.mean() / self._truth.neighbours)
