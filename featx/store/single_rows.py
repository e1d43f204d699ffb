"""Rows read from where they are in the file.

HDF5 reads a whole chunk for a row, and sums it up: a thousand times as much. What is read here is
not compared with checksums: that is for the caller, who has a hash of each row.
"""

from __future__ import annotations

import os

import h5py
import numpy as np

DRIVER = "sec2"
"""HDF5's driver of plain files, which has a descriptor to read from."""


def read_rows(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray | None:
    """Read rows of a dataset that is stored in chunks of whole rows and is not compressed.

    Args:
        dataset: (N, *shape).
        rows: int64 (n,), in any order, each from 0 to N - 1.

    Returns:
        (n, *shape); None if the dataset is stored in another way.
    """
    if not hasattr(os, "preadv") or dataset.file.driver != DRIVER or not _has_plain_rows(dataset):
        return None
    descriptor = dataset.file.id.get_vfd_handle()
    out = np.empty((len(rows), *dataset.shape[1:]), dataset.dtype)
    size = out.nbytes // max(1, len(rows))
    chunk_rows = dataset.chunks[0]
    begin: dict[int, int] = {}
    content = out.reshape(-1).view(np.uint8).data
    for number, row in enumerate(rows.tolist()):
        chunk, place = divmod(row, chunk_rows)
        if chunk not in begin:
            begin[chunk] = _find_chunk(dataset, chunk)
        target = content[number * size : (number + 1) * size]
        if begin[chunk] < 0 or os.preadv(descriptor, [target], begin[chunk] + place * size) != size:
            return None
    return out


def _find_chunk(dataset: h5py.Dataset, number: int) -> int:
    """Return where a chunk begins in the file; -1 if it was never written."""
    start = (number * dataset.chunks[0], *[0] * (dataset.ndim - 1))
    offset = dataset.id.get_chunk_info_by_coord(start).byte_offset
    return -1 if offset is None else int(offset)


def _has_plain_rows(dataset: h5py.Dataset) -> bool:
    creation = dataset.id.get_create_plist()
    filters = {creation.get_filter(number)[0] for number in range(creation.get_nfilters())}
    return (
        dataset.chunks is not None
        and dataset.chunks[1:] == dataset.shape[1:]
        and filters <= {h5py.h5z.FILTER_FLETCHER32}
        and dataset.dtype.isnative
        and dataset.dtype.kind == "f"
        and dataset.size > 0
    )
