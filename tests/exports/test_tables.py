"""Arrays and tables, read back by NumPy, the csv module and pyarrow."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import featx
from featx.exports.source import format_rows
from featx.specs import ModelSpec
from featx.store import open_store
from tests.exports.conftest import HOSTILE_KEYS, HOSTILE_LABELS
from tests.store_samples import content_hash, write_sample

pytestmark = pytest.mark.usefixtures("small_blocks")

LABELS_AS_TEXT = [label or "" for label in HOSTILE_LABELS]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def test_npy_is_the_stored_array(hostile: Path, values: np.ndarray, tmp_path: Path) -> None:
    featx.export_store(hostile, tmp_path / "out.npy")
    array = np.load(tmp_path / "out.npy", mmap_mode="r", allow_pickle=False)
    assert array.dtype == np.float32
    assert array.tobytes() == values.tobytes()  # Negative zero and infinities, too.


def test_npy_has_its_keys_beside_it(hostile: Path, tmp_path: Path) -> None:
    featx.export_store(hostile, tmp_path / "out.npy")
    rows = read_csv(tmp_path / "out.keys.csv")
    assert rows[0] == ["row", "key", "label"]
    numbers = map(str, range(len(HOSTILE_KEYS)))
    expected = zip(numbers, HOSTILE_KEYS, LABELS_AS_TEXT, strict=True)
    assert rows[1:] == [list(row) for row in expected]


def test_npy_keeps_maps(tmp_path: Path) -> None:
    maps = np.random.default_rng(1).random((7, 2, 3, 4), np.float32)
    write_sample(tmp_path / "maps.h5", {"conv": maps})
    report = featx.export_store(tmp_path / "maps.h5", tmp_path / "out.npy", pool="none")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), maps)
    assert report.columns == 24


@pytest.mark.parametrize("pool", ["avg", "max", "gem", "flatten"])
def test_npy_pools_as_the_store_does(pool: str, tmp_path: Path) -> None:
    maps = np.random.default_rng(1).random((7, 2, 3, 4), np.float32)
    write_sample(tmp_path / "maps.h5", {"conv": maps})
    featx.export_store(tmp_path / "maps.h5", tmp_path / "out.npy", pool=pool)  # type: ignore[arg-type]
    with open_store(tmp_path / "maps.h5") as store:
        expected = store.table(pool=pool).values  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_half_precision_is_widened(tmp_path: Path) -> None:
    halves = np.array([[0.1, 65504], [-2, 6e-8]], np.float16)
    write_sample(tmp_path / "f.h5", {"gap": halves}, dtype="float16")
    featx.export_store(tmp_path / "f.h5", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), halves.astype(np.float32))


def test_csv_reads_back_to_the_same_numbers(
    hostile: Path, values: np.ndarray, tmp_path: Path
) -> None:
    featx.export_store(hostile, tmp_path / "out.csv")
    rows = read_csv(tmp_path / "out.csv")
    assert rows[0] == ["key", "label", "f0", "f1", "f2", "f3", "f4"]
    assert [row[0] for row in rows[1:]] == list(HOSTILE_KEYS)
    assert [row[1] for row in rows[1:]] == LABELS_AS_TEXT
    numbers = np.array([[np.float32(text) for text in row[2:]] for row in rows[1:]])
    assert numbers.tobytes() == values.tobytes()


def test_csv_is_read_alike_by_arrow(hostile: Path, values: np.ndarray, tmp_path: Path) -> None:
    featx.export_store(hostile, tmp_path / "out.csv")
    table = pyarrow.csv.read_csv(
        tmp_path / "out.csv", parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    )
    assert table["key"].to_pylist() == list(HOSTILE_KEYS)
    numbers = np.stack([table[f"f{column}"].to_numpy() for column in range(5)], axis=1)
    np.testing.assert_array_equal(numbers.astype(np.float32), values)


def test_csv_lines_end_as_rfc_4180_has_it(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"gap": np.array([[0.5]], np.float32)}, ["a.png"])
    featx.export_store(tmp_path / "f.h5", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == b"key,label,f0\r\na.png,,0.5\r\n"


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
)
def test_every_float_reads_back(numbers: list[float]) -> None:
    row = np.array([numbers], np.float32)
    (texts,) = format_rows(row)
    again = np.array([float(text) for text in texts], np.float32)
    assert again.tobytes() == row.tobytes()


def test_wide_rows_are_written_a_few_at_a_time() -> None:
    values = np.arange(5 * 40_000, dtype=np.float32).reshape(5, 40_000)
    again = np.array([[float(text) for text in row] for row in format_rows(values)], np.float32)
    np.testing.assert_array_equal(again, values)


def test_parquet_columns(hostile: Path, values: np.ndarray, tmp_path: Path) -> None:
    featx.export_store(hostile, tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["key", "label", "content_hash", "features"]
    assert table["key"].to_pylist() == list(HOSTILE_KEYS)
    assert table["label"].to_pylist() == list(HOSTILE_LABELS)
    assert table["content_hash"].to_pylist() == [content_hash(key).hex() for key in HOSTILE_KEYS]
    features = table["features"].combine_chunks()
    assert features.type.list_size == 5
    assert features.type.value_type == pyarrow.float32()
    assert features.flatten().to_numpy().tobytes() == values.tobytes()


def test_parquet_has_a_row_group_for_each_block(hostile: Path, tmp_path: Path) -> None:
    featx.export_store(hostile, tmp_path / "out.parquet")
    metadata = pyarrow.parquet.read_metadata(tmp_path / "out.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [3, 3, 2]


def test_parquet_says_what_computed_it(tmp_path: Path) -> None:
    maps = np.ones((2, 3, 3, 4), np.float16)
    write_sample(tmp_path / "maps.h5", {"conv": maps}, dtype="float16")
    featx.export_store(tmp_path / "maps.h5", tmp_path / "out.parquet", pool="max")
    metadata = pyarrow.parquet.read_schema(tmp_path / "out.parquet").metadata
    with open_store(tmp_path / "maps.h5") as store:
        table = store.table(pool="max")
    assert metadata[b"featx.fingerprint"].decode() == table.fingerprint
    assert json.loads(metadata[b"featx.feature"]) == {
        "name": "conv",
        "kind": "layer",
        "pool": "max",
        "shape": [4],
    }
    assert ModelSpec.from_dict(json.loads(metadata[b"featx.model"])) == table.model
    assert metadata[b"featx.stored_as"] == b"float16"


def test_parquet_without_labels(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"gap": np.ones((4, 2), np.float32)})
    featx.export_store(tmp_path / "f.h5", tmp_path / "out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table["label"].to_pylist() == [None] * 4


@pytest.mark.parametrize("name", ["out.csv", "out.npy"])
@pytest.mark.parametrize("safe", [False, True])
def test_names_like_formulas_are_made_safe(tmp_path: Path, name: str, safe: bool) -> None:
    keys = ["=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "\t=1.png", "\r=1.png", "a=1.png"]
    labels = ["=HYPERLINK()", *["plain"] * 6]
    values = np.zeros((7, 2), np.float32)
    write_sample(tmp_path / "f.h5", {"v": values}, keys, labels=labels)
    featx.export_store(tmp_path / "f.h5", tmp_path / name, csv_safe=safe)
    table = tmp_path / ("out.csv" if name == "out.csv" else "out.keys.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    mark = "'" if safe else ""
    assert [row["key"] for row in rows] == [*(mark + key for key in keys[:6]), keys[6]]
    assert [row["label"] for row in rows] == [f"{mark}=HYPERLINK()", *["plain"] * 6]
