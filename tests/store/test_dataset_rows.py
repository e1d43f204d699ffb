"""Rows read past HDF5 are those that HDF5 reads, and nothing damaged is taken for a row."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featx.store.dataset_rows import DatasetRows
from featx.store.plain_chunks import PlainChunks

CHUNK = 10
VALUES = np.random.default_rng(0).normal(size=(95, 2, 3)).astype(np.float32)
SELECTIONS = [
    np.arange(95),
    np.arange(3, 88),
    np.arange(10, 20),
    np.arange(0, 95, 2),
    np.arange(94, -1, -1),
    np.array([90, 91, 3, 3, 4, 5, 94, 60]),
    np.random.default_rng(1).permutation(95),
]


def write(path: Path, dtype: str = "<f4", **layout: Any) -> Path:
    layout = {"chunks": (CHUNK, 2, 3), "fletcher32": True, **layout}
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=VALUES.astype(dtype), **layout)
    return path


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The chunks that were read past HDF5."""
    read: list[int] = []
    real = PlainChunks.read

    def spy(chunks: PlainChunks, number: int, out: np.ndarray) -> bool:
        is_right = real(chunks, number, out)
        read.extend([number] * is_right)
        return is_right

    monkeypatch.setattr(PlainChunks, "read", spy)
    return read


@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
@pytest.mark.parametrize("rows", SELECTIONS, ids=lambda rows: f"{len(rows)}-{rows[0]}")
def test_rows_are_those_of_hdf5(
    tmp_path: Path, whole: list[int], dtype: str, rows: np.ndarray
) -> None:
    with h5py.File(write(tmp_path / "f.h5", dtype)) as file:
        layer, expected = DatasetRows(file["v"]), file["v"][:][rows]
        given = layer.read(rows)
        assert given.dtype == dtype
        np.testing.assert_array_equal(given, expected)
        out = np.empty_like(given)
        assert layer.read(rows, out) is out
        np.testing.assert_array_equal(out, expected)
    # The last chunk is not full: it has rows that do not exist.
    assert set(whole) <= set(range(9))
    assert whole or len(rows) == 8


@pytest.mark.parametrize(
    "layout",
    [
        {"dtype": ">f4"},
        {"compression": "gzip"},
        {"fletcher32": False},
        {"chunks": (CHUNK, 1, 3)},
    ],
)
def test_other_layouts_are_left_to_hdf5(
    tmp_path: Path, whole: list[int], layout: dict[str, Any]
) -> None:
    with h5py.File(write(tmp_path / "f.h5", **layout)) as file:
        for rows in SELECTIONS:
            np.testing.assert_array_equal(DatasetRows(file["v"]).read(rows), VALUES[rows])
    assert whole == []


def test_a_chunk_without_its_checksum_is_left_to_hdf5(tmp_path: Path, whole: list[int]) -> None:
    with h5py.File(write(tmp_path / "f.h5"), "r+") as file:
        file["v"].id.write_direct_chunk((20, 0, 0), VALUES[:10].tobytes(), filter_mask=1)
    with h5py.File(tmp_path / "f.h5") as file:
        given = DatasetRows(file["v"]).read(np.arange(10, 40))
    np.testing.assert_array_equal(
        given, np.concatenate([VALUES[10:20], VALUES[:10], VALUES[30:40]])
    )
    assert whole == [1, 3]


def test_what_is_not_in_the_file_yet_is_left_to_hdf5(tmp_path: Path, whole: list[int]) -> None:
    with h5py.File(write(tmp_path / "f.h5"), "r+") as file:
        file["v"][:] = -VALUES
        np.testing.assert_array_equal(DatasetRows(file["v"]).read(np.arange(95)), -VALUES)
    assert whole == []


def test_chunks_are_looked_up_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 goes through all of them for each, which takes longer than reading it."""
    with h5py.File(write(tmp_path / "f.h5")) as file:
        monkeypatch.setattr(PlainChunks, "find", None)
        layer = DatasetRows(file["v"])
        given = [layer.read(np.arange(first, first + 10)) for first in range(0, 90, 10)]
        begin = [
            file["v"].id.get_chunk_info_by_coord((first, 0, 0)).byte_offset
            for first in range(0, 90, 10)
        ]
        chunks = PlainChunks.of(file["v"])
        assert chunks is not None
        assert [chunks.places[number] for number in range(9)] == begin
    np.testing.assert_array_equal(np.concatenate(given), VALUES[:90])


def flip(place: int) -> Callable[[Path, int], None]:
    def change(path: Path, begin: int) -> None:
        data = bytearray(path.read_bytes())
        data[begin + place] ^= 4
        path.write_bytes(data)

    return change


def zero_the_end(path: Path, begin: int) -> None:
    data = bytearray(path.read_bytes())
    data[begin + 100 : begin + 244] = bytes(144)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [flip(0), flip(239), flip(240), flip(243), zero_the_end])
def test_a_damaged_chunk_is_found(tmp_path: Path, damage: Callable[[Path, int], None]) -> None:
    path = write(tmp_path / "f.h5")
    with h5py.File(path) as file:
        begin = file["v"].id.get_chunk_info_by_coord((20, 0, 0)).byte_offset
    damage(path, begin)
    with h5py.File(path) as file:
        layer = DatasetRows(file["v"])
        for rows in (np.arange(95), np.arange(20, 30), np.arange(21, 95, 2), np.array([25])):
            with pytest.raises(OSError, match="filter returned failure"):
                layer.read(rows)
        np.testing.assert_array_equal(layer.read(np.arange(20)), VALUES[:20])


def test_threads_read_at_the_same_time(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "f.h5")) as file, ThreadPoolExecutor(4) as threads:
        layer = DatasetRows(file["v"])
        for rows, given in zip(
            SELECTIONS * 20, threads.map(layer.read, SELECTIONS * 20), strict=True
        ):
            np.testing.assert_array_equal(given, VALUES[rows])
