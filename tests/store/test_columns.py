"""Further columns: from a manifest through parts, views, renames and repairs to an export."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

import featx
from featx.errors import StoreDamaged
from featx.images.sources.columns import column_of_cells, column_of_values
from featx.store.columns import join_columns, plan_columns
from featx.store.parts import parts_folder
from featx.store.seal import SEAL_BYTES
from featx.testing import write_images
from tests.store_samples import seal_again

TABLE: Mapping[str, Sequence[Any]] = {
    "age": [3, None, 5, 0, -7, 8],
    "weight": [1.5, 2.0, None, 4.0, 5.0, 6.0],
    "country": ["DE", None, "größer", "FR", "FR", "=1+1"],
    "wild": [True, False, None, True, False, True],
    "code": ["007", "010", "3", "4", None, "6"],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images of two classes and a manifest with a column of each kind."""
    write_images(6, tmp_path / "photos")
    write_manifest(tmp_path / "photos", TABLE)
    return tmp_path / "photos"


def write_manifest(folder: Path, table: Mapping[str, Sequence[Any]], name: str = "m.csv") -> None:
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", *table])
        for row, values in enumerate(zip(*table.values(), strict=True)):
            writer.writerow([f"image_{row}.png", "ab"[row % 2], *values])


Extract = Callable[..., featx.ExtractReport]


@pytest.fixture
def extract(toy: str, tmp_path: Path) -> Extract:
    def extract(images: Any, name: str = "f.h5", **options: Any) -> featx.ExtractReport:
        output = tmp_path / name
        return featx.extract(images, model=toy, layers=["mean"], output=output, **options)

    return extract


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return column → key → value, None where it is missing."""
    with featx.open_store(path) as store:
        return {
            name: {
                key: None if isinstance(value, float) and math.isnan(value) else value
                for key, value in zip(store.keys, column.tolist(), strict=True)
            }
            for name, column in store.columns.items()
        }


def keyed(table: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {f"image_{row}.png": value for row, value in enumerate(values)}
        for name, values in table.items()
    }


@pytest.mark.parametrize("limit", [None, 0])
def test_every_kind_of_column_is_kept(
    photos: Path, extract: Extract, tmp_path: Path, limit: int | None
) -> None:
    assert extract(photos / "m.csv", single_file_limit=limit).done == 6
    store = tmp_path / "f.h5"
    assert read(store) == keyed(TABLE)
    with h5py.File(store) as file:
        assert file.attrs["format_version"] == 2
        assert file["column_names"].asstr()[:].tolist() == list(TABLE)
        dtypes = [file[f"columns/c{number:03d}"].dtype for number in range(5)]
        assert [dtype.kind for dtype in dtypes] == ["i", "f", "S", "b", "S"]
        assert file["columns/c000"][:].tolist() == [3, 0, 5, 0, -7, 8]
        assert file["columns/m000"][:].tolist() == [False, True, *[False] * 4]
    featx.pack_store(store)
    assert read(store) == keyed(TABLE)
    assert featx.verify_store(store).is_intact
    with featx.open_store(store) as opened:
        assert opened.columns["weight"].dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            opened.columns["weight"][0] = 1
        with pytest.raises(TypeError):
            opened.columns["more"] = np.zeros(6)  # type: ignore[index]


def test_columns_that_change_are_recorded_without_computing(
    photos: Path, extract: Extract, tmp_path: Path
) -> None:
    store = tmp_path / "f.h5"
    extract(photos)  # No column yet.
    assert read(store) == {}
    assert extract(photos / "m.csv").done == 0
    assert read(store) == keyed(TABLE)
    contents, fingerprint = identity(store)
    changed = {"age": [3, 4.5, 5, 0, -7, "old"], "new": [1, 2, 3, 4, 5, 6]}
    write_manifest(photos, changed)
    assert extract(photos / "m.csv").done == 0
    expected = keyed({**TABLE, "age": ["3", "4.5", "5", "0", "-7", "old"], "new": changed["new"]})
    assert read(store) == expected
    assert identity(store) == (contents, fingerprint)
    assert extract(photos / "m.csv").seconds["load"] == 0  # And then, there is nothing to do.
    write_manifest(photos, {"age": [""] * 6})
    assert extract(photos / "m.csv").done == 0
    assert read(store).keys() == {*TABLE, "new"}  # A column without a value says nothing.


def identity(path: Path) -> tuple[str, str]:
    with featx.open_store(path) as store:
        return store.contents, store.fingerprint


def test_images_that_come_without_a_table_keep_their_columns(
    photos: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(photos / "m.csv")
    (photos / "image_0.png").rename(photos / "renamed.png")
    (photos / "image_1.png").write_bytes((photos / "image_2.png").read_bytes())
    (photos / "image_3.png").unlink()
    report = extract(photos, exclude=["*.csv"])
    assert (report.done, report.renamed) == (0, 1)
    expected = keyed(TABLE)
    for column in expected.values():
        column["renamed.png"] = column.pop("image_0.png")
    assert read(tmp_path / "f.h5") == expected  # One that is gone keeps its row, too.
    extract(photos, exclude=["*.csv"], prune=True)
    assert set(read(tmp_path / "f.h5")["age"]) == set(expected["age"]) - {"image_3.png"}


def test_columns_survive_a_kill_and_a_lost_view(
    photos: Path, extract: Extract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("featx.extraction.running.assemble_store", stop)
        patch.setattr("featx.store.parts.PART_SECONDS", 0)
        with pytest.raises(KeyboardInterrupt):
            extract(photos / "m.csv", batch_size=2, single_file_limit=0)
    assert list(parts_folder(tmp_path / "f.h5").iterdir())
    assert extract(photos / "m.csv", single_file_limit=0).done == 0
    assert read(tmp_path / "f.h5") == keyed(TABLE)
    (tmp_path / "f.h5").unlink()
    assert extract(photos / "m.csv", single_file_limit=0).done == 0
    assert read(tmp_path / "f.h5") == keyed(TABLE)


def stop(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_merged_stores_have_the_columns_of_all(
    photos: Path, extract: Extract, tmp_path: Path
) -> None:
    write_manifest(photos, {"age": [1, 2, 3, 4, 5, 6]}, "other.csv")
    extract(photos / "m.csv", "1.h5", shard=(1, 2))
    extract(photos / "other.csv", "2.h5", shard=(2, 2))
    featx.merge_stores([tmp_path / "1.h5", tmp_path / "2.h5"], tmp_path / "all.h5")
    first, second = read(tmp_path / "1.h5"), read(tmp_path / "2.h5")
    assert first["age"]
    assert second["age"]
    merged = read(tmp_path / "all.h5")
    assert merged["age"] == {**first["age"], **second["age"]}
    assert merged["country"] == {**dict.fromkeys(second["age"]), **first["country"]}


def test_exports_have_the_columns(photos: Path, extract: Extract, tmp_path: Path) -> None:
    clashing = {**TABLE, "features": ["x"] * 6, "f0": [1] * 6, "content_hash": [2] * 6}
    write_manifest(photos, clashing)
    extract(photos / "m.csv")
    for name in ("out.npy", "out.csv", "out.parquet"):
        featx.export_store(tmp_path / "f.h5", tmp_path / name, csv_safe=True)
    for name in ("out.keys.csv", "out.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["age"] for row in rows] == ["3", "", "5", "0", "-7", "8"]
        assert [row["wild"] for row in rows] == ["True", "False", "", "True", "False", "True"]
        assert [row["country"] for row in rows] == ["DE", "", "größer", "FR", "FR", "'=1+1"]
        assert [row["f0_"] for row in rows] == ["1"] * 6
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert {name: table[name].to_pylist() for name in TABLE} == TABLE
    assert [str(table[name].type) for name in TABLE] == [
        "int64", "double", "string", "bool", "string"
    ]  # fmt: skip
    assert table["features_"].to_pylist() == ["x"] * 6
    assert table["content_hash_"].to_pylist() == [2] * 6


def test_parquet_brings_typed_columns(photos: Path, extract: Extract, tmp_path: Path) -> None:
    when = pyarrow.scalar(0, pyarrow.timestamp("ms")).as_py()
    columns = {
        "path": [f"image_{row}.png" for row in range(6)],
        "age": pyarrow.array([3, None, 5, 0, -7, 8], pyarrow.int16()),
        "code": pyarrow.array(["007", "010", "3", "4", None, "6"]).dictionary_encode(),
        "when": [when] * 6,
        "box": [[1, 2, 3, 4]] * 6,
        "data": [b"bytes"] * 6,
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), photos / "m.parquet")
    notes = Notes()
    extract(photos / "m.parquet", listener=notes)
    assert read(tmp_path / "f.h5") == keyed(
        {"age": TABLE["age"], "code": TABLE["code"], "when": ["1970-01-01T00:00:00"] * 6}
    )
    assert [text for text in notes.texts if "not kept" in text] == [
        f"of '{photos / 'm.parquet'}' is not kept what is neither text nor number: 'box' and 'data'"
    ]


class Notes(featx.Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_column_in_which_rows_of_one_image_differ_is_not_kept(
    photos: Path, extract: Extract, tmp_path: Path
) -> None:
    rows = [f"image_{row // 2}.png,{row},{row // 2}" for row in range(12)]
    (photos / "boxes.csv").write_text("path,box,image_id\n" + "\n".join(rows))
    notes = Notes()
    assert extract(photos / "boxes.csv", listener=notes).rows == 6
    assert read(tmp_path / "f.h5") == keyed({"image_id": list(range(6))})
    assert "the column 'box' is not kept: two rows of 'image_0.png' differ in it" in notes.texts


# ---- damage, and files that somebody prepared ----


def test_damaged_columns_are_found_and_repaired(
    photos: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(photos / "m.csv")
    path = tmp_path / "f.h5"
    for dataset in ("columns/c002", "columns/m003"):
        with h5py.File(path) as file:
            offset = file[dataset].id.get_chunk_info(0).byte_offset
        data = bytearray(path.read_bytes())
        data[offset if offset >= SEAL_BYTES else offset + SEAL_BYTES] ^= 0xFF
        path.write_bytes(data)
        with featx.open_store(path) as store, pytest.raises(StoreDamaged, match="cannot be read"):
            dict(store.columns)
        assert not featx.verify_store(path).is_intact
        assert featx.verify_store(path, repair=True).dropped == 6
        assert extract(photos / "m.csv").done == 6
        assert read(path) == keyed(TABLE)


def replace(file: h5py.File, name: str, **created: Any) -> None:
    del file[name]
    file.create_dataset(name, **created)


PREPARED: dict[str, Callable[[h5py.File], None]] = {
    "float32": lambda file: replace(
        file, "columns/c001", data=np.zeros(6, np.float32), chunks=(6,), fletcher32=True
    ),
    "text of variable length": lambda file: replace(
        file, "columns/c002", data=["x"] * 6, dtype=h5py.string_dtype()
    ),
    "not compressed": lambda file: replace(
        file, "columns/c002", data=np.full(6, b"x"), chunks=(6,), fletcher32=True
    ),
    "marks that are numbers": lambda file: replace(
        file, "columns/m000", data=np.zeros(6, np.int64), chunks=(6,), fletcher32=True
    ),
    "fewer rows": lambda file: replace(
        file, "columns/c000", data=np.zeros(5, np.int64), chunks=(5,), fletcher32=True
    ),
    "two axes": lambda file: replace(
        file, "columns/c000", data=np.zeros((6, 2), np.int64), chunks=(6, 2), fletcher32=True
    ),
    "more than is stored": lambda file: replace(
        file, "columns/c000", shape=(6,), dtype=np.int64, chunks=(6,), fletcher32=True
    ),
    "another file": lambda file: file.__setitem__(
        "columns/c000", [file.__delitem__("columns/c000"), h5py.ExternalLink("x.h5", "/a")][1]
    ),
    "a name twice": lambda file: file["column_names"].__setitem__(1, b"age"),
    "a column that is missing": lambda file: file.__delitem__("columns/c000"),
}


def test_a_prepared_column_is_refused(photos: Path, extract: Extract, tmp_path: Path) -> None:
    extract(photos / "m.csv")
    path = tmp_path / "f.h5"
    sample = path.read_bytes()
    for what, prepare in PREPARED.items():
        path.write_bytes(sample)
        with h5py.File(path, "r+") as file:
            prepare(file)
        seal_again(path)
        with pytest.raises(StoreDamaged):
            read_all(path, what)


def read_all(path: Path, what: str) -> None:
    with featx.open_store(path) as store:
        dict(store.columns)
    pytest.fail(what)


def test_columns_of_text_unpack_to_a_bounded_size(
    photos: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(photos / "m.csv")
    path = tmp_path / "f.h5"
    texts = np.array([b"a" * 2_000_000 + b"%d" % row for row in range(6)])
    with h5py.File(path, "r+") as file:
        replace(
            file, "columns/c002", data=texts, chunks=(1,), fletcher32=True,
            compression="gzip", compression_opts=9,
        )  # fmt: skip
    seal_again(path)
    with featx.open_store(path) as store, pytest.raises(StoreDamaged, match="200 times"):
        _ = store.columns["country"]


def test_stores_without_columns_have_nothing_more_than_before(
    photos: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(photos, exclude=["*.csv"])
    with h5py.File(tmp_path / "f.h5") as file:
        assert not {"columns", "column_names"} & set(file)
    with featx.open_store(tmp_path / "f.h5") as store:
        assert dict(store.columns) == {}


# ---- kinds ----


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        ([1, 2], np.int64, [1, 2]),
        ([True, np.False_], np.bool_, [True, False]),
        ([1, None], object, [1, None]),
        ([1, 2.5, float("nan")], np.float64, [1.0, 2.5, None]),
        ([1, True], object, ["1", "True"]),
        ([2**63], object, [str(2**63)]),
        ([2**53 + 1, 0.5], object, [str(2**53 + 1), "0.5"]),
        (["a", "", None, b"b"], object, ["a", None, None, "b"]),
        ([np.float32(0.5), 1], np.float64, [0.5, 1.0]),
        (["\0", "\ud800"], object, ["\\0", "\\ud800"]),
    ],
)
def test_kinds_of_values(given: list[Any], dtype: Any, expected: list[Any]) -> None:
    column = column_of_values(given)
    assert column.dtype == dtype
    values = [None if isinstance(v, float) and math.isnan(v) else v for v in column.tolist()]
    assert values == expected
    assert [type(value) for value in values] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2.50"], [1.0, 2.5]),
        (["9223372036854775807", ""], [2**63 - 1, None]),
        (["9223372036854775808", "1.50"], ["9223372036854775808", "1.50"]),
        (["9007199254740993", "0.50"], ["9007199254740993", "0.50"]),
        (["9" * 5000, "1"], ["9" * 5000, "1"]),
        (["007", "1"], ["007", "1"]),
    ],
)
def test_cells_are_numbers_where_no_digit_is_lost(cells: list[str], expected: list[Any]) -> None:
    assert column_of_cells(cells).tolist() == expected


@pytest.mark.parametrize(
    ("blocks", "kind"),
    [
        (([1, 2], [1.5, None]), "float64"),
        (([2**53 + 1], [1.5]), "text"),
        (([1.5], ["x"]), "text"),
        (([True], [3]), "text"),
        (([None, None], [1.5]), "float64"),
        (([None], [4]), "int64"),
    ],
)
def test_blocks_that_were_joined_lose_no_value(blocks: tuple[list[Any], ...], kind: str) -> None:
    columns = [{"v": column_of_values(values)} for values in blocks]
    joined = join_columns([(block, len(block["v"])) for block in columns])
    for given in ([joined], columns):
        assert plan_columns(given)["v"].kind == kind
