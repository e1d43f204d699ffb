"""Exports to vector databases, read again with their own clients."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from featx.errors import ExportError, StoreNotFound, UnknownName
from featx.exports.databases import export_to_database
from featx.testing import write_images
from tests.store_samples import write_sample

COUNT, WIDTH = 300, 12

Row = dict[str, Any]


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(COUNT, WIDTH)).astype(np.float32)


@pytest.fixture
def store(vectors: np.ndarray, tmp_path: Path) -> Path:
    """The first two rows have pictures, the others' are gone."""
    folder = write_images(2, tmp_path / "photos")
    write_sample(
        tmp_path / "f.h5",
        {"v": vectors, "w": vectors[:, :WIDTH] + 1},
        labels=[None if row % 3 == 0 else f"it's {row % 3}" for row in range(COUNT)],
        root=folder,
    )
    return tmp_path / "f.h5"


def read_lancedb(output: str, query: np.ndarray) -> tuple[int, list[Row]]:
    table = pytest.importorskip("lancedb").connect(output).open_table("images")
    found = table.search(query).distance_type("cosine").limit(5).to_list()
    return table.count_rows(), [row | {"score": 1 - row["_distance"]} for row in found]


def read_qdrant(output: str, query: np.ndarray) -> tuple[int, list[Row]]:
    client = pytest.importorskip("qdrant_client").QdrantClient(path=output)
    try:
        points = client.query_points("images", query=query.tolist(), limit=5).points
        count = client.count("images").count
    finally:
        client.close()
    rows = [point.payload | {"score": point.score} for point in points]
    for row in rows:
        if "thumbnail" in row:
            row["thumbnail"] = base64.b64decode(row["thumbnail"])
    return count, rows


def read_milvus(output: str, query: np.ndarray) -> tuple[int, list[Row]]:
    client = pytest.importorskip("pymilvus").MilvusClient(uri=output)
    try:
        names = ["key", "label", "content_hash", "thumbnail"]
        (found,) = client.search("images", data=[query.tolist()], limit=5, output_fields=names)
        (counted,) = client.query("images", filter="", output_fields=["count(*)"])
    finally:
        client.close()
    rows = [dict(one["entity"]) | {"score": one["distance"]} for one in found]
    for row in rows:
        if row.get("thumbnail"):
            row["thumbnail"] = base64.b64decode(row["thumbnail"])
    return counted["count(*)"], rows


READERS: dict[str, tuple[str, str, Callable[..., tuple[int, list[Row]]]]] = {
    "lancedb": ("lancedb", "vectors.lance", read_lancedb),
    "qdrant": ("qdrant_client", "vectors", read_qdrant),
    "milvus": ("pymilvus", "vectors.db", read_milvus),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_what_is_written_is_found_by_the_databases_own_client(
    name: str, store: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    library, file, read = READERS[name]
    pytest.importorskip(library)
    output = str(tmp_path / file)
    report = export_to_database(store, output, to=name, layer="v")
    assert (report.rows, report.written, report.counted) == (COUNT, COUNT, COUNT)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in (1, 5, 299):
        count, found = read(output, vectors[row])
        scores = units @ units[row]
        expected = np.argsort(-scores)[:5]
        assert count == COUNT
        assert [one["key"] for one in found] == [f"image_{number}.png" for number in expected]
        assert [one["score"] for one in found] == pytest.approx(scores[expected], abs=1e-3)
        assert found[0].get("label") == (None if row % 3 == 0 else f"it's {row % 3}")
    _, (first, *_) = read(output, vectors[1])
    with Image.open(io.BytesIO(first["thumbnail"])) as image:
        assert image.size == (128, 128)

    again = export_to_database(store, output, to=name, layer="v")
    assert (again.written, again.counted) == (0, COUNT), "what is there is not written again"

    contents = ["changed", *map(str, range(1, COUNT + 2))]
    keys = [f"image_{row}.png" for row in range(COUNT + 2)]
    more = np.concatenate([vectors, vectors[:2] * 2])
    contents[1:COUNT] = keys[1:COUNT]
    write_sample(tmp_path / "g.h5", {"v": more}, keys, contents=contents)
    grown = export_to_database(tmp_path / "g.h5", output, to=name)
    assert (grown.rows, grown.written, grown.counted) == (COUNT + 2, 3, COUNT + 2)

    with pytest.raises(ExportError, match="another model or layer"):
        export_to_database(store, output, to=name, layer="w")


def test_milvus_takes_a_file_of_its_own_ending(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"file that ends in \.db.*Received: output='.*m\.txt'"):
        export_to_database(store, str(tmp_path / "m.txt"), to="milvus", layer="v")


def test_what_a_database_says_is_told_without_its_wrapping(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WrappedError(Exception):
        message = "the server is away."

    def refuse(*_: object) -> None:
        raise WrappedError("<WrappedError: (code=2)>")

    monkeypatch.setattr("featx.exports.qdrant.open_table", refuse)
    with pytest.raises(ExportError, match=r"cannot be written by qdrant: the server is away\. W"):
        export_to_database(store, "somewhere", to="qdrant", layer="v")


def test_files_for_bulk_import(
    store: Path, vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.exports.parquet_files.FILE_BYTES", 1)
    output = tmp_path / "bulk"
    report = export_to_database(store, str(output), to="parquet", layer="v")
    assert (report.rows, report.written, report.counted) == (COUNT, COUNT, COUNT)
    files = sorted(output.iterdir())
    assert [file.name for file in files] == ["images-00000.parquet", "images-00001.parquet"]
    table = pyarrow.parquet.read_table(output)
    assert table.schema.field("vector").type == pyarrow.list_(pyarrow.float32(), WIDTH)
    assert np.array_equal(np.array(table["vector"].to_pylist(), np.float32), vectors)
    assert table["key"].to_pylist() == [f"image_{row}.png" for row in range(COUNT)]
    assert table["label"].to_pylist()[:3] == [None, "it's 1", "it's 2"]
    with Image.open(io.BytesIO(table["thumbnail"][1].as_py())) as image:
        assert image.size == (128, 128)
    assert table["thumbnail"].null_count == COUNT - 2

    again = export_to_database(store, str(output), to="parquet", layer="v")
    assert (again.written, again.counted) == (0, COUNT)
    files[1].unlink()  # As if it had been interrupted there.
    rest = export_to_database(store, str(output), to="parquet", layer="v")
    assert (rest.written, rest.counted) == (COUNT - 256, COUNT)
    assert pyarrow.parquet.read_table(output).equals(table)

    with pytest.raises(ExportError, match="another model or layer"):
        export_to_database(store, str(output), to="parquet", layer="w")
    keys = [f"image_{row}.png" for row in range(COUNT)]
    write_sample(tmp_path / "g.h5", {"v": vectors}, keys, contents=["changed", *keys[1:]])
    with pytest.raises(ExportError, match="another folder"):
        export_to_database(tmp_path / "g.h5", str(output), to="parquet")
    for place, name in (("s3://bucket/x", "t"), (str(tmp_path / "new"), "a/b"), (str(store), "t")):
        with pytest.raises(ExportError):
            export_to_database(store, place, to="parquet", layer="v", table=name)


def test_files_of_one_import_hold_one_feature_and_the_same_columns(
    store: Path, vectors: np.ndarray, tmp_path: Path
) -> None:
    output = str(tmp_path / "bulk")
    export_to_database(store, output, to="parquet", layer="v", table="a[b]")
    again = export_to_database(store, output, to="parquet", layer="v", table="a[b]")
    assert (again.written, again.counted) == (0, COUNT)
    others = [f"other_{row}.png" for row in range(COUNT)]
    write_sample(tmp_path / "wide.h5", {"x": np.hstack([vectors, vectors])}, others)
    write_sample(tmp_path / "more.h5", {"v": vectors}, others)
    with pytest.raises(ExportError, match="another model or layer"):
        export_to_database(tmp_path / "wide.h5", output, to="parquet", table="a[b]")
    more = export_to_database(tmp_path / "more.h5", output, to="parquet", table="a[b]")
    assert (more.written, more.counted) == (COUNT, 2 * COUNT)
    file = tmp_path / "bulk" / "a[b]-00000.parquet"
    table = pyarrow.parquet.read_table(file)
    pyarrow.parquet.write_table(table.append_column("age", [list(range(COUNT))]), file)
    with pytest.raises(ExportError, match="other columns"):
        export_to_database(store, output, to="parquet", layer="v", table="a[b]")


def test_bad_input_is_refused_before_a_database_is_made(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound):
        export_to_database("no.h5", str(tmp_path / "out"), to="qdrant")
    with pytest.raises(UnknownName, match="vector database"):
        export_to_database(store, str(tmp_path / "out"), to="qdrnt")
    with pytest.raises(UnknownName):
        export_to_database(store, str(tmp_path / "out"), to="qdrant", pool="none")
    assert not (tmp_path / "out").exists()
