"""Rows that are read without their chunk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from featx.index.building import build_index
from featx.store import open_store
from featx.store.single_rows import read_rows
from tests.store_samples import write_sample

VALUES = np.random.default_rng(0).normal(size=(11, 2, 3))


def write(path: Path, **layout: Any) -> h5py.Dataset:
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=VALUES.astype(layout.pop("dtype", "<f4")), **layout)
    return h5py.File(path)["v"]


@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
@pytest.mark.parametrize("fletcher32", [True, False])
def test_rows_are_those_of_hdf5(tmp_path: Path, dtype: str, fletcher32: bool) -> None:
    values = write(tmp_path / "v.h5", dtype=dtype, chunks=(4, 2, 3), fletcher32=fletcher32)
    rows = np.array([10, 0, 5, 5, 3])
    received = read_rows(values, rows)
    assert received is not None
    assert received.dtype == dtype
    np.testing.assert_array_equal(received, values[:][rows])
    empty = read_rows(values, rows[:0])
    assert empty is not None
    assert empty.shape == (0, 2, 3)


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"chunks": (4, 1, 3)},
        {"chunks": (4, 2, 3), "compression": "gzip"},
        {"chunks": (4, 2, 3), "shuffle": True},
        {"chunks": (4, 2, 3), "dtype": ">f4"},
        {"chunks": (4, 2, 3), "dtype": "<i4"},
    ],
)
def test_rows_in_other_layouts_are_left_to_hdf5(tmp_path: Path, layout: dict[str, Any]) -> None:
    assert read_rows(write(tmp_path / "v.h5", **layout), np.array([1])) is None


def test_an_index_does_not_believe_a_damaged_row(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    vectors = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    write_sample(path, {"v": vectors})
    index = build_index(path, factory="PQ4x4", min_recall=0.98)
    assert index.candidates > 0
    before = index.find(vectors[:1], 60)
    np.testing.assert_allclose(before.scores[0, 0], 1, atol=1e-5)
    content = path.read_bytes()
    place = content.find(vectors[7].tobytes())
    path.write_bytes(content[:place] + b"\xff\xff\xff\x7f" + content[place + 4 :])
    with open_store(path) as store:  # What is there, whatever it is.
        read = store.vectors_unchecked("v", np.array([7]))
    assert read is not None
    assert np.isnan(read[0, 0])
    after = index.find(vectors[:1], 60)
    assert np.isfinite(after.scores).all()
    assert after.rows[0, 0] == 0
