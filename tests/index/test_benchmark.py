"""The benchmark of indexes, at a tiny size: that it runs, and what its figures are."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks.indexes import NEIGHBOURS, OTHERS, Data, measure_streamed, write_vectors
from featx.store import open_store

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("is_sorted", [False, True])
def test_vectors_are_those_of_their_clusters(tmp_path: Path, is_sorted: bool) -> None:
    centres = np.eye(4, 8, dtype=np.float32)
    data = Data("clusters", centres, 0.01, is_sorted)
    write_vectors(tmp_path / "v.h5", 50, data)
    with open_store(tmp_path / "v.h5") as store:
        values = store.table("v").values
    nearest = (values @ centres.T).argmax(axis=1)
    assert values.shape == (50, 8)
    assert (np.diff(nearest) >= 0).all() == is_sorted
    np.testing.assert_allclose(values, centres[nearest], atol=0.06)


def test_what_is_too_large_is_compared_as_it_is_read(tmp_path: Path) -> None:
    data = Data("clusters", np.eye(4, 8, dtype=np.float32), 0.3, False)
    write_vectors(tmp_path / "v.h5", 50, data)
    with open_store(tmp_path / "v.h5") as store:
        values = store.table("v").values
    queries = data.draw(np.array([0, 1, 2]), 5)
    cosines = (queries @ values.T) / np.linalg.norm(values, axis=1)
    expected = np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]
    assert measure_streamed(tmp_path / "v.h5", queries)["rows"] == expected.tolist()


@pytest.mark.slow
def test_every_kind_is_measured(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.indexes", "--rows", "3000", "--width", "64"),
            *("--folder", str(tmp_path), "--kinds", "flat", "ivf", "OPQ8,IVF16,PQ8"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    lines = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
        for line in done.stdout.splitlines()
        if line.startswith("│")
    }
    assert float(lines["flat"][-2]) == float(lines["faiss flat"][-2]) == 1
    assert float(lines["ivf"][-2]) >= 0.95
    assert [name in lines for name in OTHERS] == [find_spec(name) is not None for name in OTHERS]
