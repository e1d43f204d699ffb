"""The datasets that a store is made of: rows in chunks with checksums, and text of fixed length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from featx.store.format import COLUMN_CHUNK, LARGEST_TEXT_CHUNK


def create_rows(
    parent: Any, name: str, shape: tuple[int, ...], dtype: Any, chunk_rows: int = COLUMN_CHUNK
) -> h5py.Dataset:
    """Create a dataset of numbers, whose first axis is rows."""
    if shape[0] == 0:  # h5py does not make chunks of nothing.
        return parent.create_dataset(name, shape, dtype)
    chunks = (min(chunk_rows, shape[0]), *shape[1:])
    return parent.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True)


def create_texts(
    parent: Any, name: str, count: int, num_bytes: int, chunk_rows: int = COLUMN_CHUNK
) -> h5py.Dataset:
    """Create a dataset of UTF-8 text of fixed length.

    Args:
        parent: The file or group.
        name: Its name.
        count: How many texts.
        num_bytes: Length of the longest one.
        chunk_rows: Most texts in a chunk.
    """
    dtype = h5py.string_dtype("utf-8", max(1, num_bytes))
    if count == 0:
        return parent.create_dataset(name, (0,), dtype)
    chunk_rows = min(chunk_rows, count, max(1, LARGEST_TEXT_CHUNK // max(1, num_bytes)))
    # Compressed, because one long name makes all of them long.
    return parent.create_dataset(
        name,
        (count,),
        dtype,
        chunks=(chunk_rows,),
        fletcher32=True,
        compression="gzip",
        compression_opts=1,
    )


def write_texts(parent: Any, name: str, texts: Sequence[str]) -> None:
    """Write a whole dataset of texts."""
    longest = max((len(text.encode()) for text in texts), default=1)
    dataset = create_texts(parent, name, len(texts), longest)
    for start in range(0, len(texts), COLUMN_CHUNK):  # One long text makes all of them long.
        piece = texts[start : start + COLUMN_CHUNK]
        dataset[start : start + len(piece)] = encode_texts(piece, dataset)


def encode_texts(texts: Sequence[str], dataset: h5py.Dataset) -> np.ndarray:
    """Return texts as the values of a dataset of texts."""
    return np.array([t.replace("\0", "\\0").encode() for t in texts], dtype=dataset.dtype)
