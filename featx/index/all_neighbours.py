"""The nearest rows of many rows of one set of vectors: exact, or by a temporary index."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featx.events import Listener
from featx.heads.near_duplicates import scale_rows
from featx.index.container import Writer
from featx.index.kinds import INDEXES, Space, Vectors, VectorSearch
from featx.index.nearest import find_nearest
from featx.index.tuning import QUERIES, ExactNeighbours, tune

MOST_COMPARED = 50_000 * 50_000
"""Pairs of vectors up to which all are compared: a minute or so on two cores. Above, the index."""

KIND, GOAL = "ivf", 0.95
"""The kind of index, and the share of the 10 nearest that it is tuned to find."""

BLOCK = 4096
"""Rows that are compared at a time."""

SEED = 7


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest rows of Q rows, the row itself not among them.

    Attributes:
        rows: Row numbers, the nearest first, int64 (Q, k); -1 where fewer were found.
        similarity: Their cosines, less the mean of all, float32 (Q, k).
        recall: Share of the 10 nearest that is found; None if all rows were compared.
    """

    rows: np.ndarray
    similarity: np.ndarray
    recall: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Vectors of unit length, made when they are needed.

    Attributes:
        values: Features, (N, D).
        mean: What is subtracted, (D,).
    """

    values: np.ndarray
    mean: np.ndarray

    @property
    def space(self) -> Space:
        """The vectors as an index gets them."""
        return Space(*self.values.shape)

    def take(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return some of them, float32 (n, D)."""
        return np.ascontiguousarray(scale_rows(self.values[rows], self.mean)[0])

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all of them in order."""
        for start in range(0, len(self.values), BLOCK):
            yield self.take(slice(start, start + BLOCK))


def find_neighbours(
    directions: Directions, rows: np.ndarray, count: int, listener: Listener | None = None
) -> Neighbours:
    """Find the `count` nearest rows of some rows, among all.

    Memory: that of the result, of a block of `BLOCK` rows and, if all rows are compared, of the
    vectors once more.

    Args:
        directions: All vectors.
        rows: Rows whose neighbours are wanted, (Q,).
        count: Neighbours of each, at most N - 1 of which there are.
        listener: Receives progress.

    Example:
        >>> values = np.array([[1, 0], [0.9, 0.1], [-1, 0], [-1, 0.2]], np.float32)
        >>> found = find_neighbours(Directions(values, np.zeros(2)), np.arange(4), count=1)
        >>> found.rows.tolist()
        [[1], [0], [3], [2]]
    """
    listener, total = listener or Listener(), len(directions.values)
    count = max(0, min(count, total - 1))
    if not count or not len(rows):
        nothing = np.zeros((len(rows), count))
        return Neighbours(nothing.astype(np.int64), nothing.astype(np.float32), None)
    if len(rows) * total <= MOST_COMPARED:
        vectors = np.concatenate(list(directions.blocks()))
        exact = _Exact(vectors, directions.space)
        return _search(exact, directions, rows, count, listener)
    with tempfile.TemporaryDirectory() as folder:
        search, recall = _build(directions, Path(folder))
        found = _search(search, directions, rows, count, listener)
    return Neighbours(found.rows, found.similarity, recall)


@dataclass(frozen=True, slots=True, eq=False)
class _Exact:
    """Compares queries with all vectors."""

    vectors: np.ndarray
    space: Space

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        return find_nearest(queries, self.vectors, count, self.space)


def _search(
    search: _Exact | VectorSearch,
    directions: Directions,
    rows: np.ndarray,
    count: int,
    listener: Listener,
) -> Neighbours:
    found = np.empty((len(rows), count), np.int64)
    similarity = np.empty((len(rows), count), np.float32)
    listener.start(len(rows), "vectors")
    try:
        for start in range(0, len(rows), BLOCK):
            chosen = rows[start : start + BLOCK]
            scores, near = search.search(directions.take(chosen), count + 1)
            # The row itself is left out, or the last one where copies hide it.
            is_self = near == chosen[:, None]
            is_self[~is_self.any(axis=1), -1] = True
            found[start : start + len(chosen)] = near[~is_self].reshape(len(chosen), count)
            similarity[start : start + len(chosen)] = scores[~is_self].reshape(-1, count)
            listener.advance(len(chosen))
    finally:
        listener.finish()
    return Neighbours(found, similarity, None)


def _build(directions: Directions, folder: Path) -> tuple[VectorSearch, float]:
    """Build an index and tune it; return it with its recall."""
    kind, space = INDEXES[KIND], directions.space
    order = np.random.default_rng(SEED).permutation(space.count)
    queries = np.sort(order[:QUERIES])
    trained = np.sort(order[QUERIES : QUERIES + kind.training_rows(space)])
    truth = ExactNeighbours(queries, directions.take(queries), space)
    vectors = Vectors(
        lambda: truth.watch(directions.blocks()), directions.take, directions.take(trained), folder
    )
    path = folder / "index"
    with path.open("w+b") as file:
        writer = Writer(file, path)
        for section in kind.build(vectors, space):
            writer.add(section)
        search = kind.open(writer.mapped(), space)
    tuned = tune(search, truth, GOAL, ranks=False)
    return search.with_parameters(tuned.parameters), tuned.recall
