"""Exact inner-product search with FAISS; the only module that imports it.

FAISS answers a wrong dimension with an empty AssertionError, pads k > N with -1 and accepts
rows of NaN that it never finds again: callers check all of these beforehand.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from featx.errors import IndexFileError

_FLAT = b"IxFI"
"""How an exact inner-product index begins."""

_HEADER = struct.Struct("<4siqqqBiQ")
"""Kind, D, N, two numbers without meaning, trained, metric, number of float32 that follow
(FAISS's impl/index_write.cpp: write_index_header and the vectors behind it)."""


def new_flat(width: int) -> Any:
    """Return an empty exact inner-product index for vectors of `width` values."""
    return faiss.IndexFlatIP(width)


def add_vectors(index: Any, vectors: np.ndarray) -> None:
    """Append float32 (n, D) vectors."""
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))


def search_flat(index: Any, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and row numbers, (Q, count) each, best first; `count` is at most N."""
    scores, rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), count)
    return scores, rows


def reconstruct(index: Any, row: int) -> np.ndarray:
    """Return one stored vector, float32 (D,)."""
    return np.asarray(index.reconstruct(row), dtype=np.float32)


def reconstruct_rows(index: Any, rows: np.ndarray) -> np.ndarray:
    """Return chosen stored vectors, float32 (n, D)."""
    return np.asarray(index.reconstruct_batch(np.ascontiguousarray(rows, np.int64)), np.float32)


def write_flat(index: Any, path: Path) -> None:
    """Write an index in FAISS's own format.

    FAISS gives the bytes to a function here instead of writing the file itself: its own writer
    only prints a line when the disk is full at the moment of closing, and reports success.

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

        writer = faiss.PyCallbackIOWriter(write)  # type: ignore[attr-defined]
        faiss.write_index(index, writer)
    if failures:
        raise failures[0]


def read_flat(path: Path, shape: tuple[int, int]) -> Any:
    """Read an index of N vectors of D values.

    FAISS allocates whatever a header claims, and reads dozens of other kinds: the header
    is compared with what must be there before FAISS sees the file.

    Args:
        path: The file.
        shape: ``(N, D)``.

    Raises:
        IndexFileError: If it is damaged, or another kind of index, or of another shape.
    """
    error: Exception | None = None
    if _declares(path, shape):
        try:
            return faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as caught:
            error = caught
    raise IndexFileError(
        f"FAISS cannot read the index {str(path)!r}: it is damaged or something else. "
        "Build it again with `featx index`."
    ) from error


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


def is_flat(path: Path) -> bool:
    """Whether a file begins as an exact inner-product index does."""
    with path.open("rb") as file:
        return file.read(4) == _FLAT


def shape_of(index: Any) -> tuple[int, int]:
    """Return ``(N, D)`` of an index."""
    return int(index.ntotal), int(index.d)
