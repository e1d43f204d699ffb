"""The nearest rows of many rows of one set of vectors: exact, or by a temporary index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featx.events import Listener
from featx.heads.near_duplicates import scale_rows
from featx.index.container import Writer
from featx.index.kinds import INDEXES, Space, Vectors, VectorSearch
from featx.index.nearest import find_nearest, join_best
from featx.index.tuning import QUERIES, ExactNeighbours, efforts_within, tune
from featx.scratch import scratch_folder

MOST_COMPARED = 50_000 * 50_000
"""Pairs of vectors up to which all are compared: a minute or so on two cores. Above, the index."""

KIND, GOAL = "ivf", 0.95
"""The kind of index, and the share of the 10 nearest that it is tuned to find."""

NEAR_GOAL = 0.99
"""The share of rows of a similarity that was named that it is tuned to find in place of that."""

MOST_LOOKED_AT = 16_000_000_000
"""Pairs of vectors that an index compares at most: a few minutes on two cores. Where more would be
needed to reach the goal, fewer are found, and the recall says so."""

BLOCK = 4096
"""Rows that are compared at a time."""

ASKED = 64 << 20
"""Bytes of the vectors that an index is asked for at a time: a list is then read for many of them
at once (with 4,096 of 10^6 rows, decoding the lists took most of the time)."""

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
    directions: Directions,
    rows: np.ndarray,
    count: int,
    listener: Listener | None = None,
    *,
    reach: float | None = None,
) -> Neighbours:
    """Find the `count` nearest rows of some rows, among all.

    Memory: that of the result and of a block of rows; if all rows are compared, of the vectors of
    `rows`.

    Args:
        directions: All vectors.
        rows: Rows whose neighbours are wanted, (Q,).
        count: Neighbours of each, at most N - 1 of which there are.
        listener: Receives progress.
        reach: Least similarity of the neighbours that matter, by which it is chosen how much an
            index looks at, and its recall is told; the 10 nearest when None.

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
        return Neighbours(*_compare_all(directions, rows, count, listener), None)
    with scratch_folder() as folder:
        most = MOST_LOOKED_AT / (len(rows) * total)
        search, recall = _build(directions, folder, min(1, most), reach)
        return Neighbours(*_search(search, directions, rows, count, listener), recall)


_Found = tuple[np.ndarray, np.ndarray]
"""Row numbers and similarities, both (Q, k)."""


def _compare_all(
    directions: Directions, rows: np.ndarray, count: int, listener: Listener
) -> _Found:
    """Compare some rows with all, one block of these after the other."""
    queries, space = directions.take(rows), directions.space
    scores = np.full((len(rows), count + 1), -np.inf, np.float32)
    found = np.full((len(rows), count + 1), -1, np.int64)
    start = 0
    listener.start(space.count, "vectors")
    try:
        for block in directions.blocks():
            near, places = find_nearest(queries, block, min(count + 1, len(block)), space)
            scores, found = join_best((scores, found), (near, places + start), count + 1)
            start += len(block)
            listener.advance(len(block))
    finally:
        listener.finish()
    return _leave_out_self(rows, found, scores)


def _leave_out_self(rows: np.ndarray, found: np.ndarray, scores: np.ndarray) -> _Found:
    """Leave out each row itself, or the last one found where copies hide it."""
    is_self = found == rows[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    shape = len(rows), found.shape[1] - 1
    return found[~is_self].reshape(shape), scores[~is_self].reshape(shape)


def _search(
    search: VectorSearch,
    directions: Directions,
    rows: np.ndarray,
    count: int,
    listener: Listener,
) -> _Found:
    found = np.empty((len(rows), count), np.int64)
    similarity = np.empty((len(rows), count), np.float32)
    step = max(BLOCK, ASKED // (4 * directions.space.width))
    listener.start(len(rows), "vectors")
    try:
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            scores, near = search.search(directions.take(rows[part]), count + 1)
            found[part], similarity[part] = _leave_out_self(rows[part], near, scores)
            listener.advance(len(near))
    finally:
        listener.finish()
    return found, similarity


def _build(
    directions: Directions, folder: Path, most: float, reach: float | None
) -> tuple[VectorSearch, float]:
    """Build an index and tune it; return it with its recall.

    Args:
        directions: All vectors.
        folder: Where the index and what it is made of are written.
        most: Share of the vectors that may be looked at for a row.
        reach: See `find_neighbours`.
    """
    kind, space = INDEXES[KIND], directions.space
    order = np.random.default_rng(SEED).permutation(space.count)
    queries = np.sort(order[:QUERIES])
    trained = np.sort(order[QUERIES : QUERIES + kind.training_rows(space)])
    asked = directions.take(queries)
    truth = ExactNeighbours(queries, asked, space)
    blocks = directions.blocks if reach is not None else lambda: truth.watch(directions.blocks())
    vectors = Vectors(blocks, directions.take, directions.take(trained), folder)
    path = folder / "index"
    with path.open("w+b") as file:
        writer = Writer(file, path)
        for section in kind.build(vectors, space):
            writer.add(section)
        search = kind.open(writer.mapped(), space)
    if reach is not None:
        return _tune_reach(search, queries, _turn(asked, reach), most)
    tuned = tune(search, truth, GOAL, ranks=False, most=most)
    return search.with_parameters(tuned.parameters), tuned.recall


def _tune_reach(
    search: VectorSearch, rows: np.ndarray, queries: np.ndarray, most: float
) -> tuple[VectorSearch, float]:
    """Choose the least effort with which rows are found by others of a similarity to them."""
    recall = 0.0
    for effort in efforts_within(search, most):
        search = search.with_parameters(effort.parameters)
        found = search.search(queries, 2)[1]
        recall = float((found == rows[:, None]).any(axis=1).mean())
        if recall >= NEAR_GOAL:
            break
    return search, recall


def _turn(vectors: np.ndarray, similarity: float) -> np.ndarray:
    """Turn unit vectors, (n, D), towards other ones, until they have a similarity to themselves."""
    others = np.roll(vectors, 1, axis=0)
    others = others - (others * vectors).sum(axis=1, keepdims=True) * vectors
    others /= np.maximum(np.linalg.norm(others, axis=1, keepdims=True), 1e-6)
    turned = similarity * vectors + np.sqrt(1 - similarity**2) * others
    return np.ascontiguousarray(turned, np.float32)
