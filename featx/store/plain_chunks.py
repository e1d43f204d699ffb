"""Chunks read from where they are in the file, past HDF5.

HDF5 copies each chunk twice and takes most of the time for its checksum. Here it is read into its
place, and the same checksum is compared. Whatever is not as expected is left to HDF5, which also
says what is wrong with it.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import h5py
import numpy as np

from featx.store.chunk_sums import MOST_BYTES, sum_chunk

DRIVER = "sec2"
"""HDF5's driver of plain files, which has a descriptor to read from."""

SUM_BYTES = 4
"""Bytes of a checksum, which is behind the chunk, little-endian."""


@dataclass(frozen=True, eq=False)
class PlainChunks:
    """The chunks of a dataset of numbers, of whole rows and not compressed.

    Attributes:
        dataset: (N, *shape).
        descriptor: Its file, as long as that is open.
        num_rows: Rows of a chunk.
        has_sums: Whether each has a checksum.
    """

    dataset: h5py.Dataset
    descriptor: int
    num_rows: int
    has_sums: bool

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> Self | None:
        """Return them; None if the dataset is stored in another way, or by another system.

        Also if it is open for writing: what HDF5 has not written yet is not in the file.
        """
        if not hasattr(os, "preadv") or dataset.file.driver != DRIVER or not dataset.chunks:
            return None
        if dataset.file.mode != "r" or not hasattr(dataset.id, "chunk_iter"):  # HDF5 before 1.14.
            return None
        creation = dataset.id.get_create_plist()
        filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
        if not (
            dataset.chunks[1:] == dataset.shape[1:]
            and filters in ([], [h5py.h5z.FILTER_FLETCHER32])
            and dataset.dtype.isnative
            and dataset.dtype.kind == "f"
            and dataset.size > 0
        ):
            return None
        return cls(dataset, dataset.file.id.get_vfd_handle(), dataset.chunks[0], bool(filters))

    def find(self, number: int) -> int:
        """Return where a chunk begins in the file; -1 if it was never written.

        HDF5 goes through all chunks for each: for more than a few, see `places`.
        """
        start = (number * self.num_rows, *[0] * (self.dataset.ndim - 1))
        offset = self.dataset.id.get_chunk_info_by_coord(start).byte_offset
        return -1 if offset is None else int(offset)

    @cached_property
    def places(self) -> dict[int, int]:
        """Where each chunk begins in the file that has all its bytes and a checksum."""
        places: dict[int, int] = {}
        size = math.prod(self.dataset.chunks) * self.dataset.dtype.itemsize
        if not self.has_sums or sys.byteorder != "little" or size > MOST_BYTES:
            return places

        def note(chunk: h5py.h5d.StoreInfo) -> None:
            if chunk.size == size + SUM_BYTES and not chunk.filter_mask:
                places[chunk.chunk_offset[0] // self.num_rows] = chunk.byte_offset

        self.dataset.id.chunk_iter(note)
        return places

    def read(self, number: int, out: np.ndarray) -> bool:
        """Read a whole chunk and compare its checksum.

        Args:
            number: Which.
            out: (num_rows, *shape), of the dataset's type and without gaps, to be filled.

        Returns:
            Whether it is right. Otherwise `out` holds anything, and HDF5 is to be asked.
        """
        begin = self.places.get(number)
        if begin is None:
            return False
        data, stored = out.reshape(-1).view(np.uint8), bytearray(SUM_BYTES)
        if os.preadv(self.descriptor, [data.data, stored], begin) != len(data) + SUM_BYTES:
            return False
        return sum_chunk(data) == int.from_bytes(stored, "little")
