"""Features of a Ray Dataset, and stores of its rows: as `Extractor` and `extract` compute them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
import featx.ray
from featx.errors import InvalidValue, LibraryMissing, StoreError
from featx.images.roots import MEMORY
from featx.options import InputOptions, RunOptions
from featx.ray.featurizing import Featurizer, decide, name_model
from featx.ray.storing import PartsOfRows
from featx.store.rows import StoreHeader
from featx.store.shared_work import SharedFolder
from featx.testing import write_images
from tests.clusters.stores import read_all


@pytest.fixture
def featurizer(toy: str, monkeypatch: pytest.MonkeyPatch) -> Featurizer:
    # Of the process, in which there is more than a worker.
    monkeypatch.setattr("featx.ray.featurizing.share_machine", lambda threads: None)
    run = RunOptions()
    model = name_model(toy, None, None, False)
    network, specs = decide(model, ["mean", "map"], "none", InputOptions(), run)
    return Featurizer(network, specs, run, 1)


def check_columns(rows: Mapping[str, Any], toy: str, pictures: Any, failed: int) -> None:
    """Require the features of an `Extractor`, and NaN in the row that failed."""
    for layer in ("mean", "map"):
        expected = featx.Extractor(toy, layer, pool="none", on_error="nan")(pictures)
        assert np.array_equal(np.array(list(rows[layer])), expected, equal_nan=True)
        assert np.isnan(expected[failed]).all()
    assert [bool(reason) for reason in rows["error"]] == [n == failed for n in range(len(pictures))]
    assert [len(digest) for digest in rows["content_hash"]] == [
        0 if n == failed else 32 for n in range(len(pictures))
    ]


def test_columns_of_pictures(featurizer: Featurizer, toy: str, photos: Path) -> None:
    write_images(5, photos)
    (photos / "image_2.png").write_bytes(b"no picture")
    paths = sorted(photos.iterdir())
    contents = [path.read_bytes() for path in paths]
    number = np.arange(5)
    batches: list[dict[str, Any]] = [
        {"path": np.array(list(map(str, paths))), "number": number},
        {"bytes": np.array(contents, object), "path": np.array(["?"] * 5), "number": number},
    ]
    for batch in batches:
        rows = featurizer(batch)
        assert rows.keys() - {"path"} == {"number", "mean", "map", "content_hash", "error"}
        assert np.array_equal(rows["number"], number)
        check_columns(rows, toy, paths, failed=2)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert np.array_equal(
        featurizer({"image": pixels})["mean"], featx.embed(pixels, toy, layer="mean")
    )
    with pytest.raises(
        InvalidValue, match=r"column 'bytes', 'image' or 'path'.*Received: 'picture'"
    ):
        featurizer({"picture": pixels})


def rows_by_content(path: Path) -> dict[bytes, tuple[str, str | None, bytes]]:
    """Return the name of the file, the label and the features of each row, by its content."""
    with featx.open_store(path) as store:
        values = store.table("mean").values
        return {
            content.tobytes(): (Path(key).name, label, row.tobytes())
            for key, content, label, row in zip(
                store.keys, store.content_hash, store.labels, values, strict=True
            )
        }


def test_a_store_that_another_program_writes_meanwhile_is_left_alone(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "features.h5"

    def decide_slowly(*arguments: Any) -> Any:
        output.write_text("of another program")
        return decide(*arguments)

    monkeypatch.setattr("featx.ray.storing.import_ray", lambda needed_by: None)
    monkeypatch.setattr("featx.ray.storing.decide", decide_slowly)
    with pytest.raises(StoreError, match="exists and is left alone"):
        featx.ray.write_store(None, output, toy, layers=["mean"])
    assert output.read_text() == "of another program"
    assert list(tmp_path.iterdir()) == [output]


def test_labels_are_as_extract_has_them(toy: str, tmp_path: Path) -> None:
    """Ray gives whole numbers as fractions where some rows have none."""
    model = name_model(toy, None, None, False)
    network, specs = decide(model, ["mean"], "none", InputOptions(), RunOptions())
    header = StoreHeader(network.spec, specs, "float32", MEMORY, MEMORY.text)
    batch = {
        "path": np.array(["a", "b"]),
        "label": np.array([3.0, np.nan]),
        "split": np.array(["train", None], object),
        "mean": np.ones((2, 3), np.float32),
        "content_hash": np.array(["00" * 16, "11" * 16]),
        "error": np.array(["", ""]),
    }
    (name,) = PartsOfRows(SharedFolder(tmp_path), header, "path")(batch)["task"]
    with featx.open_store(tmp_path / name / "part-000000.h5") as part:
        assert (part.labels, part.splits) == (("3", None), ("train", None))


def test_without_ray_the_function_and_what_to_type_are_in_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LibraryMissing, match=r"^featx.ray.features needs \"featx\[ray\]\": pip "):
        featx.ray.features(None)
    with pytest.raises(LibraryMissing, match=r"^featx.ray.write_store needs"):
        featx.ray.write_store(None, "features.h5")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Within Ray Data.
def test_a_dataset_becomes_rows_and_a_store(
    ray: Any, toy: str, photos: Path, tmp_path: Path
) -> None:
    write_images(60, photos, classes=("cat", "dog"))
    (photos / "cat" / "image_0.png").write_bytes(b"no picture")
    paths = sorted(map(str, photos.rglob("*.png")))
    table = ray.data.from_items(
        [{"path": p, "label": Path(p).parent.name, "price": n} for n, p in enumerate(paths)]
    )
    table.write_parquet(str(tmp_path / "table"))
    rows = featx.ray.features(
        ray.data.read_parquet(str(tmp_path / "table")), toy, layers=["mean"], rows=16, num_cpus=1
    )
    rows = rows.materialize()
    output = tmp_path / "features.h5"
    assert featx.ray.write_store(rows, output, toy, layers=["mean"], rows=25) == 59
    stored = read_all(output)
    featx.extract(paths, toy, layers=["mean"], output=tmp_path / "alone.h5")
    assert rows_by_content(output) == rows_by_content(tmp_path / "alone.h5")
    assert [Path(key).parent.name for key in stored["keys"]] == stored["labels"]
    assert sorted(stored["columns"]["price"]) == list(range(1, 60))
    assert [failure.key for failure in stored["failures"]] == [paths[0]]
    assert not output.with_name("features.h5.parts").exists()
    with pytest.raises(StoreError, match="exists and is left alone"):
        featx.ray.write_store(rows, output, toy, layers=["mean"])

    twice = rows.union(rows)
    with pytest.raises(StoreError, match="60 rows have a key that another"):
        featx.ray.write_store(twice, tmp_path / "twice.h5", toy, layers=["mean"])
    assert not list(tmp_path.glob("twice*"))

    folder = ray.data.read_binary_files(str(photos / "dog"), include_paths=True)
    found = featx.ray.features(folder, toy, layers=["mean"], num_cpus=1).take_all()
    assert len(found) == 30
    assert all(row["error"] == "" and row["mean"].shape == (3,) for row in found)
