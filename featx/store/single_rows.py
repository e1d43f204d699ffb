"""Rows read from where they are in the file.

HDF5 reads a whole chunk for a row, and sums it up: a thousand times as much. What is read here is
not compared with checksums: that is for the caller, who has a hash of each row.
"""

from __future__ import annotations

import os

import h5py
import numpy as np

from featx.store.plain_chunks import PlainChunks


def read_rows(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray | None:
    """Read rows of a dataset that is stored in chunks of whole rows and is not compressed.

    Args:
        dataset: (N, *shape).
        rows: int64 (n,), in any order, each from 0 to N - 1.

    Returns:
        (n, *shape); None if the dataset is stored in another way.
    """
    chunks = PlainChunks.of(dataset)
    if chunks is None:
        return None
    out = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
    size = out.nbytes // max(1, len(rows))
    begin: dict[int, int] = {}
    content = out.reshape(-1).view(np.uint8).data
    for number, row in enumerate(rows.tolist()):
        chunk, place = divmod(row, chunks.num_rows)
        if chunk not in begin:
            begin[chunk] = chunks.find(chunk)
        target = content[number * size : (number + 1) * size]
        place = begin[chunk] + place * size
        if begin[chunk] < 0 or os.preadv(chunks.descriptor, [target], place) != size:
            return None
    return out
