"""How far an index looks: the least that reaches the recall that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from featx.index.kinds import Effort, Parameters, Space
from featx.index.tuning import ExactNeighbours, tune

VECTORS = np.random.default_rng(0).normal(size=(800, 12)).astype(np.float32)
STEPS = tuple(np.round(np.linspace(0.05, 1, 20), 2).tolist())


@dataclass(frozen=True)
class PartSearch:
    """Finds the best of a part of the vectors, which is the effort; scores are rounded."""

    part: float = STEPS[0]
    rounding: float = 1e-6
    calls: list[float] = field(default_factory=list)
    summary: str = "part"

    @property
    def parameters(self) -> Parameters:
        return {"part": self.part}

    def efforts(self) -> Sequence[Effort]:
        return [Effort({"part": part}, part) for part in STEPS]

    def with_parameters(self, parameters: Parameters) -> PartSearch:
        return replace(self, part=float(parameters["part"]))

    def search(
        self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(self.part)
        scores = queries @ VECTORS.T
        noise = np.random.default_rng(1).normal(size=scores.shape)
        scores = scores + self.rounding * noise
        scores[:, np.random.default_rng(2).permutation(len(VECTORS)) >= self.part * 800] -= 500
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        found = np.take_along_axis(scores, rows, axis=1).astype(np.float32)
        return found, np.where(found < -400, -1, rows)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        return VECTORS[rows]


@pytest.fixture(scope="module")
def truth() -> ExactNeighbours:
    rows = np.arange(0, 800, 5)
    exact = ExactNeighbours(rows, VECTORS[rows], Space(800, 12))
    for _ in exact.watch(VECTORS[start : start + 100] for start in range(0, 800, 100)):
        pass
    return exact


@pytest.mark.parametrize("goal", [0.1, 0.48, 0.9, 1.0])
def test_the_least_effort_is_found_in_few_searches(truth: ExactNeighbours, goal: float) -> None:
    search = PartSearch()
    tuned = tune(search, truth, goal)
    assert tuned.recall >= goal
    assert tuned.parameters["candidates"] == 0
    assert float(tuned.parameters["part"]) <= goal + 0.1
    assert len(search.calls) <= 16
    assert max(search.calls) <= goal + 0.2


def test_what_compression_mixes_up_is_ranked_exactly(truth: ExactNeighbours) -> None:
    tuned = tune(PartSearch(rounding=4.0), truth, 0.6)
    assert tuned.recall >= 0.6
    assert int(tuned.parameters["candidates"]) > 0


def test_the_best_there_is_where_the_goal_is_not_reached(truth: ExactNeighbours) -> None:
    tuned = tune(PartSearch(rounding=30.0), truth, 0.99)
    assert tuned.recall < 0.99
    assert (tuned.parameters["part"], tuned.parameters["candidates"]) == (1.0, 400)


@pytest.mark.parametrize("goal", [0.6, 0.9])
def test_recall_is_that_without_ranking_where_nothing_ranks(
    truth: ExactNeighbours, goal: float
) -> None:
    search = PartSearch(rounding=4.0)
    tuned = tune(search, truth, goal, ranks=False)
    assert tuned.parameters["candidates"] == 0
    scores, rows = search.with_parameters(tuned.parameters).search(truth.vectors, 11)
    lines = np.arange(len(truth.rows))
    hits = truth.find_hits(lines, scores, rows)[:, :11].sum(axis=1)
    assert tuned.recall == pytest.approx(np.minimum(hits, 10).mean() / 10, abs=0.01)
