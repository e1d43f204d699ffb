"""Features that stay in the store while a head is fitted: rows are read when they are needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import numpy as np

MAPPED_PART = 64 << 20
"""Bytes of a part of a mapped file that is read at once."""


class StoredValues:
    """Rows of a layer in the store, float32 (N, D), with the indexing of an array.

    Indexing reads the rows; `part` leaves those of a large part where they are. It may be used by
    several threads.

    Args:
        read: Takes row numbers of the store, (n,), and returns their values, float32 (n, D).
        rows: Which rows of the store these are, (N,).
        width: D.
        most: Bytes up to which a part is read at once.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, read: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, width: int, most: int
    ) -> None:
        self.shape = (len(rows), width)
        self.size = len(rows) * width
        self.nbytes = 4 * self.size
        self._read, self._rows, self._most = read, rows, most
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        with self._lock:  # The files of a store in parts are opened when they are read.
            return self._read(self._rows[rows])

    def part(self, rows: np.ndarray | slice) -> StoredValues | np.ndarray:
        """Return some rows: read, or left in the store where they are many."""
        chosen = self._rows[rows]
        if 4 * len(chosen) * self.shape[1] <= self._most:
            return self[rows]
        return StoredValues(self._read, chosen, self.shape[1], self._most)

    def less(self, mean: np.ndarray) -> StoredValues:
        """Return the values minus a vector (D,), float64, subtracted when they are read."""

        def read(rows: np.ndarray) -> np.ndarray:
            return np.asarray(self._read(rows) - mean, np.float32)

        return StoredValues(read, self._rows, self.shape[1], self._most)


def leave_mapped(values: np.ndarray) -> np.ndarray:
    """Return the values of a mapped file as ones whose parts stay there; others as they are."""
    if not isinstance(values, np.memmap):
        return values
    stored = StoredValues(values.__getitem__, np.arange(len(values)), values.shape[1], MAPPED_PART)
    return cast(np.ndarray, stored)


def are_stored(values: np.ndarray | StoredValues) -> bool:
    """Whether values are on the disk."""
    return isinstance(values, StoredValues)


def take_rows(values: np.ndarray | StoredValues, rows: np.ndarray | slice) -> np.ndarray:
    """Return some of the rows; many rows of a store stay there."""
    if isinstance(values, StoredValues):
        return cast(np.ndarray, values.part(rows))
    return values[rows]


def subtract(values: np.ndarray | StoredValues, mean: np.ndarray) -> np.ndarray:
    """Return values (N, D) minus a vector (D,), float64; those of a store when they are read."""
    if isinstance(values, StoredValues):
        return cast(np.ndarray, values.less(mean))
    return np.asarray(values - mean, np.float32)
