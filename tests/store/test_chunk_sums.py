"""The checksum of a chunk, beside HDF5's."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from featx.store.chunk_sums import COLUMNS, sum_chunk

ROW = 8 * COLUMNS
RANDOM = np.random.default_rng(0)


def stored_sum(path: Path, data: np.ndarray) -> int:
    """Return the checksum that HDF5 writes behind a chunk."""
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=data, chunks=data.shape, fletcher32=True)
        return int.from_bytes(file["d"].id.read_direct_chunk((0,))[1][-4:], "little")


@pytest.mark.parametrize(
    "data",
    [
        *(RANDOM.integers(0, 256, size, np.uint8) for size in (1, 2, 7, 8, 4097, ROW, ROW + 3)),
        RANDOM.integers(0, 256, 70 * ROW + 10, np.uint8),
        np.full(40 * ROW, 255, np.uint8),  # The largest sums; each is 0 modulo 65,535.
        np.zeros(3 * ROW, np.uint8),
        np.array([255, 255, 0, 0], np.uint8),
        np.array([0, 0, 0, 0, 1, 0], np.uint8),
        RANDOM.normal(size=50_000).astype(np.float32).view(np.uint8),
    ],
    ids=lambda data: f"{len(data)}-{data[0]}",
)
def test_it_is_that_of_hdf5(tmp_path: Path, data: np.ndarray) -> None:
    assert sum_chunk(data) == stored_sum(tmp_path / "f.h5", data)


def test_every_bit_counts() -> None:
    data = RANDOM.integers(0, 256, 3 * ROW + 6, np.uint8)
    expected = sum_chunk(data)
    for place in (0, 1, 2, 7, ROW - 1, ROW, 2 * ROW + 9, len(data) - 1):
        for bit in range(8):
            data[place] ^= 1 << bit
            assert sum_chunk(data) != expected
            data[place] ^= 1 << bit
    assert sum_chunk(data) == expected
    swapped = data.copy()
    swapped[[0, 1, 8, 9]] = data[[8, 9, 0, 1]]
    assert sum_chunk(swapped) != expected
