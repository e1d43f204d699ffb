"""An index: a product of matrices in NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.index.container import Arrays, Section
from featx.index.kinds import Effort, Parameters, Space, Update, Vectors


class NumpySearch:
    summary = "exact, by NumPy"

    def __init__(self, table: np.ndarray, space: Space) -> None:
        self._table, self._space = table, space

    @property
    def parameters(self) -> Parameters:
        return {}

    def efforts(self) -> Sequence[Effort]:
        return ()

    def with_parameters(self, parameters: Parameters) -> NumpySearch:
        return self

    def search(
        self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        scores = queries @ self._table.T
        if self._space.metric == "l2":
            scores = 2 * scores - (self._table**2).sum(axis=1) - (queries**2).sum(axis=1)[:, None]
        if allowed is not None:
            scores = np.where(allowed, scores, -np.inf)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        found = np.take_along_axis(scores, rows, axis=1)
        return found, np.where(found == -np.inf, -1, rows)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        return self._table[rows]


class NumpyIndex:
    is_exact = True

    def training_rows(self, space: Space) -> int:
        return 0

    def build(self, vectors: Vectors, space: Space) -> Sequence[Section]:
        return [Section("table", "<f4", (space.count, space.width), vectors.read())]

    def update(
        self, arrays: Arrays, vectors: Vectors, space: Space, old_rows: np.ndarray
    ) -> Update | None:
        return None

    def open(self, arrays: Arrays, space: Space) -> NumpySearch:
        table = arrays["table"]
        if (table.dtype, table.shape) != ("<f4", (space.count, space.width)):
            raise ValueError(f"it has the shape {table.shape}")
        return NumpySearch(table.all(), space)


numpy_index = NumpyIndex()
