"""The kind ``flat``: every vector is compared with every query.

Its file begins as a file of FAISS does, so that FAISS alone reads it, too.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from featx.index.container import Arrays, MappedArray, Section
from featx.index.files import FLAT_KINDS
from featx.index.kinds import Effort, Parameters, Space, Update, Vectors
from featx.index.nearest import find_nearest, metric_of

_HEADER = struct.Struct("<4siqqqBiQ")
"""Kind, D, N, two numbers without meaning, trained, metric, number of float32 that follow
(FAISS's impl/index_write.cpp: write_index_header and the vectors behind it)."""

_UNUSED = 1 << 20
"""What FAISS writes in place of the two numbers."""


class FlatSearch:
    """Vectors in a mapped file."""

    summary = "exact"

    def __init__(self, table: MappedArray, space: Space) -> None:
        self._table, self._space = table, space
        self._read: np.ndarray | None = None

    @property
    def parameters(self) -> Parameters:
        """There are none."""
        return {}

    def efforts(self) -> Sequence[Effort]:
        """None: it is exact."""
        return ()

    def with_parameters(self, parameters: Parameters) -> FlatSearch:
        """There are none."""
        return self

    def search(
        self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the best vectors; see `featx.index.kinds.VectorSearch.search`."""
        if self._read is None:  # In the file, they are not where numbers of four bytes should be.
            self._read = self._table.take_all()
        queries = np.ascontiguousarray(queries, np.float32)
        if allowed is None:
            return find_nearest(queries, self._read, count, self._space)
        chosen = np.flatnonzero(allowed)
        scores = np.zeros((len(queries), count), np.float32)
        rows = np.full((len(queries), count), -1, np.int64)
        most = min(count, len(chosen))
        if most:
            found, places = find_nearest(queries, self._read[chosen], most, self._space)
            scores[:, :most], rows[:, :most] = found, chosen[places]
        return scores, rows

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return chosen vectors, float32 (n, D)."""
        return self._table.take(rows) if self._read is None else self._read[rows]


class Flat:
    """The kind ``flat``."""

    is_exact = True

    def training_rows(self, space: Space) -> int:
        """None: it is not trained."""
        return 0

    def build(self, vectors: Vectors, space: Space) -> Sequence[Section]:
        """Return FAISS's header and the vectors behind it."""
        header = flat_header(space)
        shape = (space.count, space.width)
        return [
            Section("header", "|u1", header.shape, [header], opens_file=True),
            Section("vectors", "<f4", shape, vectors.read(), alignment=1),
        ]

    def update(
        self, arrays: Arrays, vectors: Vectors, space: Space, old_rows: np.ndarray
    ) -> Update | None:
        """Never asked: it keeps vectors as they were put in, from which a new one is built."""
        return None

    def open(self, arrays: Arrays, space: Space) -> FlatSearch:
        """Return the index that some arrays are; see `featx.index.kinds.IndexKind.open`."""
        table = arrays["vectors"]
        if (table.dtype, table.shape) != ("<f4", (space.count, space.width)):
            raise ValueError("it holds other vectors than it says")
        return FlatSearch(table, space)


flat = Flat()


def flat_header(space: Space) -> np.ndarray:
    """Return the bytes with which a file of FAISS begins that holds such vectors."""
    numbers = (space.width, space.count, _UNUSED, _UNUSED, 1, metric_of(space))
    header = _HEADER.pack(FLAT_KINDS[space.metric], *numbers, space.count * space.width)
    return np.frombuffer(header, np.uint8)
