"""The kind ``hnsw``: a graph in which each vector is linked with near ones.

A search goes from link to link (Malkov and Yashunin, 2018). Removed vectors stay in the graph as
ways to others, until they are too many. Unlike lists, the graph is read whole when it is opened.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.index.container import Arrays, Section, iter_rows
from featx.index.graphs import Graph, make_graph, read_graph
from featx.index.kinds import Effort, Parameters, Space, Update, Vectors
from featx.index.nearest import FAISS_API, find_nearest, join_best, select_rows, start_faiss
from featx.index.recipes import DEFAULT_LINKS, Recipe

TRAINING_ROWS = 65_536
"""Vectors with which the extent of values is found."""

REMOVED = 0.2
"""Share of removed vectors above which the graph is built anew."""

FEW = 0.1
"""All codes are compared where fewer than this share may be found, or more is asked for."""

EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""Vectors that a search keeps in view (FAISS's efSearch): the steps in which recall is tuned."""

ADDED_ROWS = 8192
"""Rows that are read at a time when an index is brought up to date."""


class HnswSearch:
    """A graph in memory."""

    def __init__(self, graph: Graph, space: Space, effort: int = EFFORTS[0]) -> None:
        self._graph, self._space, self._effort = graph, space, effort
        self._alive = graph.rows >= 0

    @property
    def summary(self) -> str:
        """How it searches."""
        return f"graph of {self._graph.links} links, {self._effort} vectors in view"

    @property
    def parameters(self) -> Parameters:
        """How many links there are, and how far a search looks."""
        return {"links": self._graph.links, "efSearch": self._effort}

    def efforts(self) -> Sequence[Effort]:
        """Return how many vectors may be kept in view."""
        seen = 2 * self._graph.links / self._space.count
        return [Effort({"efSearch": effort}, min(1.0, effort * seen)) for effort in EFFORTS]

    def with_parameters(self, parameters: Parameters) -> HnswSearch:
        """Return the same graph, in which a search looks further or less far."""
        effort = parameters.get("efSearch", self._effort)
        if not isinstance(effort, int) or not 1 <= effort <= EFFORTS[-1]:
            raise ValueError(f"it cannot keep {effort} vectors in view")
        return HnswSearch(self._graph, self._space, effort)

    def search(
        self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best vectors; see `featx.index.kinds.VectorSearch.search`."""
        start_faiss()
        queries = np.ascontiguousarray(queries, np.float32)
        possible, total = self._alive, self._space.count
        if allowed is not None:
            possible = possible & allowed[self._graph.rows]
            total = int(possible.sum())
        if count > FEW * total or total < FEW * len(self._graph):
            return self._compare_all(queries, count, np.flatnonzero(possible))
        effort = max(self._effort, count)
        selector = None
        if total < len(self._graph):
            effort, selector = int(effort * len(self._graph) / total), select_rows(possible)
        parameters = FAISS_API.SearchParametersHNSW(efSearch=effort, sel=selector)
        distances, nodes = self._graph.index.search(queries, count, params=parameters)
        scores = distances if self._space.metric == "ip" else -distances
        return scores, np.where(nodes < 0, -1, self._graph.rows[nodes])

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return chosen vectors as they were compressed."""
        nodes = np.empty(self._space.count, np.int64)
        alive = np.flatnonzero(self._alive)
        nodes[self._graph.rows[alive]] = alive
        return self._graph.decode(nodes[rows])

    def _compare_all(
        self, queries: np.ndarray, count: int, nodes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        scores = np.full((len(queries), count), -np.inf, np.float32)
        rows = np.full((len(queries), count), -1, np.int64)
        for start, stop in iter_rows(len(nodes), 4 * self._space.width):
            vectors = self._graph.decode(nodes[start:stop])
            most = min(count, len(vectors))
            found, places = find_nearest(queries, vectors, most, self._space)
            best = found, self._graph.rows[nodes[start + places]]
            scores, rows = join_best((scores, rows), best, count)
        scores[rows < 0] = 0
        return scores, rows


class Hnsw:
    """A kind with a graph.

    Args:
        recipe: How many links vectors have, and how they are compressed.
    """

    is_exact = False

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def training_rows(self, space: Space) -> int:
        """Return how many vectors the extent of values is found with."""
        return 1 if self._recipe.code == "Flat" else TRAINING_ROWS

    def build(self, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return the arrays of an index; the vectors are read once."""
        graph = make_graph(self._recipe, space, vectors.training)
        for block in vectors.read():
            graph.add(block)
        return graph.sections()

    def update(
        self, arrays: Arrays, vectors: Vectors, space: Space, old_rows: np.ndarray
    ) -> Update | None:
        """Return the arrays of an index of changed vectors: new ones are added to the graph."""
        graph = read_graph(arrays, self._recipe, space.width, space.metric)
        new_of_old = np.full(int(graph.rows.max()) + 1, -1, np.int64)
        known = np.flatnonzero(old_rows >= 0)
        new_of_old[old_rows[known]] = known
        rows = np.where(graph.rows < 0, -1, new_of_old[graph.rows])
        if (rows < 0).sum() > REMOVED * len(rows):
            return None
        is_new = np.ones(len(old_rows), np.bool_)  # Of two with one old row, one is.
        is_new[rows[rows >= 0]] = False
        added = np.flatnonzero(is_new)
        graph.rows = rows
        for start in range(0, len(added), ADDED_ROWS):
            chosen = added[start : start + ADDED_ROWS]
            graph.add(vectors.take(chosen), chosen)
        return Update(graph.sections())

    def open(self, arrays: Arrays, space: Space) -> HnswSearch:
        """Return the index that some arrays are; see `featx.index.kinds.IndexKind.open`."""
        graph = read_graph(arrays, self._recipe, space.width, space.metric)
        alive = graph.rows[graph.rows >= 0]
        if len(alive) != space.count or not np.array_equal(np.sort(alive), np.arange(space.count)):
            raise ValueError("its graph holds other rows than it says")
        return HnswSearch(graph, space)


hnsw = Hnsw(Recipe("SQ8", links=DEFAULT_LINKS))
