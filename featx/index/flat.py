"""Exact inner-product search with FAISS; the only module that imports it.

FAISS answers a wrong dimension with an empty AssertionError, pads k > N with -1 and accepts
rows of NaN that it never finds again: callers check all of these beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from featx.errors import IndexFileError


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


def write_flat(index: Any, path: Path) -> None:
    """Write an index in FAISS's own format."""
    faiss.write_index(index, str(path))


def read_flat(path: Path) -> Any:
    """Read an index.

    Raises:
        IndexFileError: If FAISS cannot read it.
    """
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise IndexFileError(
            f"FAISS cannot read the index {str(path)!r}: it is damaged or something else. "
            "Build it again with `featx index`."
        ) from error


def is_flat(path: Path) -> bool:
    """Whether a file begins as an exact inner-product index does."""
    with path.open("rb") as file:
        return file.read(4) == b"IxFI"


def shape_of(index: Any) -> tuple[int, int]:
    """Return ``(N, D)`` of an index."""
    return int(index.ntotal), int(index.d)
