"""An index: a product of matrices in NumPy, stored as .npy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from featx.errors import IndexFileError


class NumpySearch:
    summary = "exact, by NumPy"

    def __init__(self, table: np.ndarray) -> None:
        self._table = table
        self.shape = table.shape

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        scores = queries @ self._table.T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(scores, rows, axis=1), rows

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        return self._table[rows]

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, self._table)


class NumpyIndex:
    def build(self, blocks: Iterable[np.ndarray], shape: tuple[int, int]) -> NumpySearch:
        return NumpySearch(np.concatenate(list(blocks)))

    def read(self, path: Path, shape: tuple[int, int]) -> NumpySearch:
        try:
            # Mapped, so that nothing is allocated for what a header claims.
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise IndexFileError(f"{str(path)!r} is damaged: {error}") from error
        if mapped.shape != shape or mapped.dtype != np.float32:
            raise IndexFileError(f"{str(path)!r} is damaged: it has the shape {mapped.shape}.")
        return NumpySearch(np.array(mapped))

    def recognizes(self, path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(6) == b"\x93NUMPY"


numpy_index = NumpyIndex()
