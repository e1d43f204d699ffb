"""Graphs of linked vectors: FAISS's, as arrays of the file, and read from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from featx.index.container import Arrays, Section
from featx.index.kinds import Space
from featx.index.nearest import FAISS_API, metric_of, start_faiss
from featx.index.recipes import Recipe

MOST_LEVELS = 64
"""FAISS draws levels so that another is a matter of chance of 1 to the number of links."""


class Graph:
    """A graph of vectors in memory.

    Args:
        index: FAISS's.
        links: Links of a vector; twice as many in the lowest level.
        rows: int64 (n,): the row of each vector, -1 of those that were removed.
    """

    def __init__(self, index: Any, links: int, rows: np.ndarray) -> None:
        self.index, self.links, self.rows = index, links, rows
        self._storage = FAISS_API.downcast_index(index.storage)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, vectors: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Link vectors (n, D) with those there are; their rows follow by default."""
        start_faiss()
        self.index.add(np.ascontiguousarray(vectors, np.float32))
        if rows is None:
            rows = np.arange(len(self.rows), len(self.rows) + len(vectors))
        self.rows = np.concatenate([self.rows, rows])

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Return vectors as they were compressed, float32 (n, D)."""
        codes = _view(self._storage.codes).reshape(len(self), -1)[numbers]
        return np.asarray(self._storage.sa_decode(np.ascontiguousarray(codes)), np.float32)

    def sections(self) -> Sequence[Section]:
        """Return the arrays of it."""
        hnsw = self.index.hnsw
        levels = FAISS_API.vector_to_array(hnsw.levels)
        shape = (len(self), self._storage.codes.size() // max(1, len(self)))
        sections = [
            Section.of("graph", np.array([hnsw.entry_point, self.links], np.int64)),
            Section.of("levels", levels.astype(np.uint8)),
            Section("links", "<i4", (hnsw.neighbors.size(),), self._iter(hnsw.neighbors)),
            Section.of("rows", self.rows),
            Section("codes", "|u1", shape, self._iter(self._storage.codes)),
        ]
        if hasattr(self._storage, "sq"):
            ranges = FAISS_API.vector_to_array(self._storage.sq.trained)
            sections.append(Section.of("ranges", ranges.astype(np.float32)))
        return sections

    def _iter(self, vector: Any) -> Iterator[np.ndarray]:
        """Yield the values of one of its vectors; it is kept until then."""
        yield _view(vector)


def make_graph(recipe: Recipe, space: Space, training: np.ndarray) -> Graph:
    """Return a graph without vectors."""
    start_faiss()
    index = _make_index(recipe, recipe.links or 0, space)
    index.train(np.ascontiguousarray(training))
    return Graph(index, recipe.links or 0, np.empty(0, np.int64))


def _make_index(recipe: Recipe, links: int, space: Space) -> Any:
    if recipe.code == "Flat":
        return FAISS_API.IndexHNSWFlat(space.width, links, metric_of(space))
    code = FAISS_API.ScalarQuantizer.QT_8bit
    return FAISS_API.IndexHNSWSQ(space.width, code, links, metric_of(space))


def read_graph(arrays: Arrays, recipe: Recipe, width: int, metric: Literal["ip", "l2"]) -> Graph:
    """Return the graph in a file.

    FAISS follows links without a look: each must lead to a vector of its level.

    Raises:
        ValueError: If its arrays cannot be those of such vectors.
    """
    start_faiss()
    rows, levels = arrays["rows"], arrays["levels"]
    count, size = len(rows), width if recipe.code == "SQ8" else 4 * width
    expected = {
        "graph": ("<i8", (2,)),
        "rows": ("<i8", (count,)),
        "codes": ("|u1", (count, size)),
        "levels": ("|u1", (count,)),
    } | ({"ranges": ("<f4", (2 * width,))} if recipe.code == "SQ8" else {})
    for name, form in expected.items():
        if (arrays[name].dtype, arrays[name].shape) != form or not count:
            raise ValueError(f"its {name} have another size")
    entry, links = arrays["graph"].all().tolist()
    if links != recipe.links or not 0 <= entry < count:
        raise ValueError("its graph begins nowhere")
    index = _make_index(recipe, links, Space(count, width, metric))
    tall = levels.all()
    per_level = FAISS_API.vector_to_array(index.hnsw.cum_nneighbor_per_level).astype(np.int64)
    if not 1 <= tall.min() <= tall.max() <= min(MOST_LEVELS, len(per_level) - 1):
        raise ValueError("its graph has other levels")
    if tall[entry] != tall.max() or (rows.all() < -1).any():
        raise ValueError("its graph begins nowhere")
    offsets = np.concatenate([[0], np.cumsum(per_level[tall])])
    _check_links(arrays["links"].all(), tall, offsets, per_level)
    _fill(index, arrays, tall, offsets)
    return Graph(index, links, rows.take_all())


def _check_links(
    links: np.ndarray, levels: np.ndarray, offsets: np.ndarray, per_level: np.ndarray
) -> None:
    if links.dtype != np.int32 or links.shape != (offsets[-1],):
        raise ValueError("its links have another size")
    if links.min() < -1 or links.max() >= len(levels):
        raise ValueError("a link leads nowhere")
    for level in range(1, int(levels.max())):
        high = np.flatnonzero(levels > level)
        places = offsets[high][:, None] + np.arange(per_level[level], per_level[level + 1])
        ends = links[places]
        if (levels[ends[ends >= 0]] <= level).any():
            raise ValueError("a link leads to a vector of a lower level")


def _fill(index: Any, arrays: Arrays, levels: np.ndarray, offsets: np.ndarray) -> None:
    """Put arrays that were checked into an index of FAISS."""
    copy = FAISS_API.copy_array_to_vector
    hnsw, storage = index.hnsw, FAISS_API.downcast_index(index.storage)
    copy(levels.astype(np.int32), hnsw.levels)
    copy(offsets.astype(np.uint64), hnsw.offsets)
    copy(np.ascontiguousarray(arrays["links"].all()), hnsw.neighbors)
    copy(np.ascontiguousarray(arrays["codes"].all().reshape(-1)), storage.codes)
    hnsw.entry_point = int(arrays["graph"].all()[0])
    hnsw.max_level = int(levels.max()) - 1
    if "ranges" in arrays:
        ranges = arrays["ranges"].take_all()
        if not np.isfinite(ranges).all():
            raise ValueError("its ranges hold NaN or infinity")
        copy(ranges, storage.sq.trained)
    for part in (index, storage):
        part.ntotal, part.is_trained = len(levels), True


def _view(vector: Any) -> np.ndarray:
    """Return the values of a vector of FAISS, not copied: valid while it is not changed."""
    return np.asarray(FAISS_API.rev_swig_ptr(vector.data(), vector.size()))
