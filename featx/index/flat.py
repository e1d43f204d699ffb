"""Exact inner-product search with FAISS; the only module that imports it.

FAISS answers a wrong dimension with an empty AssertionError, pads k > N with -1 and accepts
rows of NaN that it never finds again: callers check all of these beforehand.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from featx.errors import IndexFileError
from featx.forks import FAISS, has_lost_threads, start_threads
from featx.wording import command

_FLAT = b"IxFI"
"""How an exact inner-product index begins."""

_HEADER = struct.Struct("<4siqqqBiQ")
"""Kind, D, N, two numbers without meaning, trained, metric, number of float32 that follow
(FAISS's impl/index_write.cpp: write_index_header and the vectors behind it)."""


class FlatSearch:
    """An exact inner-product index of FAISS."""

    summary = "exact"

    def __init__(self, index: Any) -> None:
        self._index = index

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, D)``."""
        return int(self._index.ntotal), int(self._index.d)

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and row numbers, (Q, count) each, best first; `count` is at most N."""
        _start_threads()
        scores, rows = self._index.search(np.ascontiguousarray(queries, np.float32), count)
        return scores, rows

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return chosen vectors, float32 (n, D)."""
        numbers = np.ascontiguousarray(rows, np.int64)
        return np.asarray(self._index.reconstruct_batch(numbers), np.float32)

    def write(self, path: Path) -> None:
        """Write the index in FAISS's own format.

        FAISS gives the bytes to a function here instead of writing the file itself: its own
        writer only prints a line when the disk is full at the moment of closing, and reports
        success.

        Raises:
            OSError: If the disk is full or cannot be written.
        """
        failures: list[OSError] = []
        with path.open("wb") as file:

            def write(data: bytes) -> None:
                try:  # An exception would have to pass through FAISS.
                    if not failures:
                        file.write(data)
                except OSError as error:
                    failures.append(error)

            try:
                writer = faiss.PyCallbackIOWriter(write)  # type: ignore[attr-defined]
                faiss.write_index(self._index, writer)
            except RuntimeError as error:  # FAISS says it in the words of its source code.
                raise OSError(errno.EIO, "the disk is full, or took no more data") from error
        if failures:
            raise failures[0]


class Flat:
    """The kind ``flat``: every vector is compared with every query."""

    def build(self, blocks: Iterable[np.ndarray], shape: tuple[int, int]) -> FlatSearch:
        """Build an index; see `featx.index.kinds.IndexKind.build`."""
        _start_threads()
        index = faiss.IndexFlatIP(shape[1])
        for block in blocks:
            index.add(np.ascontiguousarray(block, dtype=np.float32))
        return FlatSearch(index)

    def read(self, path: Path, shape: tuple[int, int]) -> FlatSearch:
        """Read an index of N vectors of D values.

        FAISS allocates whatever a header claims, and reads dozens of other kinds: the header
        is compared with what must be there before FAISS sees the file.

        Raises:
            IndexFileError: If it is damaged, or another kind of index, or of another shape.
        """
        error: Exception | None = None
        if _declares(path, shape):
            try:
                return FlatSearch(faiss.read_index(str(path)))
            except (RuntimeError, MemoryError) as caught:
                error = caught
        raise IndexFileError(
            f"FAISS cannot read the index {str(path)!r}: it is damaged or something else. "
            f"Build it again with {command('index')}."
        ) from error

    def recognizes(self, path: Path) -> bool:
        """Whether a file begins as an exact inner-product index does."""
        with path.open("rb") as file:
            return file.read(4) == _FLAT


flat = Flat()


def _start_threads() -> None:
    """Let FAISS compute in several threads, or in one where it would wait for lost ones."""
    if has_lost_threads(FAISS):
        faiss.omp_set_num_threads(1)
    else:
        start_threads(FAISS)


def _declares(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a file is as long, and begins, as an index of N vectors of D values does."""
    count, width = shape
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if path.stat().st_size != _HEADER.size + 4 * count * width or len(header) != _HEADER.size:
        return False
    kind, dimension, total, _, _, trained, metric, floats = _HEADER.unpack(header)
    return (kind, dimension, total, trained, metric, floats) == (
        *(_FLAT, width, count, 1),
        *(faiss.METRIC_INNER_PRODUCT, count * width),
    )
