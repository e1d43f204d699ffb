"""The nearest rows of many rows, by a temporary index: beside comparing all of them."""

from __future__ import annotations

import numpy as np
import pytest

from featx.heads.near_duplicates import mean_of
from featx.index.all_neighbours import Directions, Neighbours, find_neighbours

COUNT, NEAREST = 3000, 10
MODULE = "featx.index.all_neighbours"


@pytest.fixture(scope="module")
def directions() -> Directions:
    """Vectors without clusters, of which an index misses many neighbours, and 100 near copies."""
    random = np.random.default_rng(0)
    values = random.normal(size=(COUNT, 24)).astype(np.float32)
    values[100:200] = values[:100] + 0.15 * random.normal(size=(100, 24))
    return Directions(values, mean_of(values))


@pytest.fixture(scope="module")
def exact(directions: Directions) -> Neighbours:
    return find_neighbours(directions, np.arange(COUNT), NEAREST)


@pytest.fixture(autouse=True)
def few_are_compared(exact: Neighbours, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exact.recall is None
    monkeypatch.setattr(f"{MODULE}.MOST_COMPARED", COUNT)
    monkeypatch.setattr(f"{MODULE}.ASKED", 0)  # In blocks of the least size.
    monkeypatch.setattr(f"{MODULE}.BLOCK", 700)


def share_found(found: Neighbours, exact: Neighbours, wanted: np.ndarray) -> float:
    is_found = (found.rows[:, :, None] == exact.rows[:, None, :]).any(axis=1)
    return float(is_found[wanted].mean())


def test_the_nearest_are_those_of_comparing_all() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=(50, 8)).astype(np.float32)
    directions = Directions(values, mean_of(values))
    found = find_neighbours(directions, np.arange(20, 50), 4)
    vectors = directions.take(slice(None))
    cosines = vectors[20:] @ vectors.T
    cosines[np.arange(30), np.arange(20, 50)] = -2
    assert (found.rows == np.argsort(-cosines, axis=1)[:, :4]).all()
    np.testing.assert_allclose(found.similarity, -np.sort(-cosines, axis=1)[:, :4], atol=1e-5)


def test_an_index_finds_what_it_is_tuned_to(directions: Directions, exact: Neighbours) -> None:
    found = find_neighbours(directions, np.arange(COUNT), NEAREST)
    assert found.recall is not None
    every = np.ones(exact.rows.shape, bool)
    assert found.recall >= 0.95
    assert abs(share_found(found, exact, every) - found.recall) < 0.03
    assert not (found.rows == np.arange(COUNT)[:, None]).any()


def test_what_it_may_look_at_is_bounded_and_recall_says_so(
    directions: Directions, exact: Neighbours, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{MODULE}.MOST_LOOKED_AT", COUNT * COUNT // 5)
    found = find_neighbours(directions, np.arange(COUNT), NEAREST)
    assert found.recall is not None
    assert 0.3 < found.recall < 0.9
    every = np.ones(exact.rows.shape, bool)
    assert abs(share_found(found, exact, every) - found.recall) < 0.05


def test_neighbours_of_a_similarity_are_found_with_less(
    directions: Directions, exact: Neighbours
) -> None:
    found = find_neighbours(directions, np.arange(COUNT), NEAREST, reach=0.95)
    is_near = exact.similarity >= 0.95
    assert is_near[:200].any(axis=1).all()
    assert share_found(found, exact, is_near) >= 0.98
    assert found.recall is not None
    assert found.recall >= 0.99
    assert share_found(found, exact, ~is_near) < 0.95  # So it has not looked everywhere.
