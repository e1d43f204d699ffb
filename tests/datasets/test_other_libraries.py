"""Stores as data sets of TensorFlow, Arrow and pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest

import featx
from featx.datasets.kinds import DATASETS
from featx.errors import InvalidValue, LibraryMissing
from featx.testing.contracts.datasets import DatasetContract
from tests.datasets.conftest import ROWS


@pytest.mark.parametrize("kind", ["torch", "torch-rows"])
class TestTorch(DatasetContract):
    def vectors(self, batch: Any) -> Any:
        return batch["mean"].numpy()


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", ["tensorflow"])
class TestTensorFlow(DatasetContract):
    def vectors(self, batch: Any) -> Any:
        return batch["mean"].numpy()


@pytest.mark.parametrize("kind", ["arrow"])
class TestArrow(DatasetContract):
    def vectors(self, batch: Any) -> Any:
        return np.stack(batch.column("mean").to_numpy(zero_copy_only=False))


@pytest.mark.parametrize("kind", ["pandas"])
class TestPandas(DatasetContract):
    def vectors(self, batch: Any) -> Any:
        return batch.filter(like="mean_").to_numpy()


def test_every_kind_is_tested() -> None:
    assert DATASETS.names == ("torch", "torch-rows", "tensorflow", "arrow", "pandas")


@pytest.mark.tensorflow
def test_tensorflow_gets_what_keras_trains_on(numbered: Path) -> None:
    import tensorflow

    data = featx.open_dataset(numbered, layers="v", target="label")
    made = data.to("tensorflow", batch_size=20, shuffle=True)
    assert made.element_spec == (
        tensorflow.TensorSpec((None, 2), tensorflow.float32),
        tensorflow.TensorSpec((None,), tensorflow.int64),
    )
    assert made.cardinality() == 5
    passes = [[int(row) for v, _ in made for row in v[:, 0]] for _ in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == [row for row in range(ROWS) if row % 7]
    assert passes[0] != passes[1]
    both = featx.open_dataset(numbered, layers=["maps", "v"], columns="key", pool="none")
    batch = next(iter(both.to("tensorflow", batch_size=2)))
    assert batch["maps"].shape == (2, 2, 2, 3)
    assert batch["key"].numpy().tolist() == [b"image_0.png", b"image_1.png"]


def test_arrow_has_the_columns_of_the_store(numbered: Path) -> None:
    columns = ["key", "label", "split", "size", "price"]
    reader = featx.open_dataset(numbered, layers="v", columns=columns).to("arrow", batch_size=30)
    assert isinstance(reader, pyarrow.RecordBatchReader)
    table = reader.read_all()
    with featx.open_store(numbered) as store:
        expected = store.to_arrow("v")
    assert table.select(expected.column_names).equals(expected)
    frame = polars.from_arrow(table)
    assert frame.filter(polars.col("size") > 90).height == 9


def test_maps_are_tensors_of_arrow(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers="maps", columns=(), pool="none")
    column = data.to("arrow").read_all().column("maps").combine_chunks()
    array = (column.chunk(0) if hasattr(column, "chunk") else column).to_numpy_ndarray()
    assert array.shape == (ROWS, 2, 2, 3)
    assert (array[:, 0, 0, 0] == np.arange(ROWS)).all()


def test_frames_are_those_of_the_store(numbered: Path) -> None:
    columns = ["key", "label", "split", "size", "price"]
    data = featx.open_dataset(numbered, layers="v", columns=columns)
    frames = list(data.to("pandas", batch_size=30))
    assert [len(frame) for frame in frames] == [30, 30, 30, 10]
    with featx.open_store(numbered) as store:
        expected = store.to_pandas("v")
    for start, frame in zip(range(0, ROWS, 30), frames, strict=True):
        pandas.testing.assert_frame_equal(frame[list(expected)], expected[start : start + 30])
    with pytest.raises(InvalidValue, match="'maps' is a map of 2×2×3"):
        featx.open_dataset(numbered, layers="maps", pool="none").to("pandas")


def test_a_library_that_is_missing_is_said(numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LibraryMissing, match=r"to\(\) needs pandas: pip install pandas"):
        featx.open_dataset(numbered).to("pandas")


def test_pytorch_that_is_missing_is_said() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from featx.datasets.kinds import DATASETS\n"
        "try: DATASETS['torch']\n"
        "except ImportError as error: print(error)\n"
        "assert 'tensorflow' not in sys.modules and 'pyarrow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "to() needs torch: pip install torch\n", done.stderr
