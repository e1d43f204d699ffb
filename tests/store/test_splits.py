"""The optional column of splits: from a manifest through parts, views and merges to a head."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet
import pytest

import featx
from featx.errors import HeadError, StoreDamaged
from featx.events import Listener
from featx.heads.head import load_head
from featx.store.seal import SEAL_BYTES
from featx.testing import write_images

SPLITS = ["train", "train", "test", None, "val", "train", "train", "test"]
NAMES = ("test", "train", "val")


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Eight images of two classes, one of them in no split."""
    write_images(8, tmp_path / "photos")
    path = tmp_path / "photos" / "photos.csv"
    write_manifest(path, SPLITS)
    return path


def write_manifest(path: Path, splits: list[str | None]) -> None:
    rows = [f"image_{n}.png,{'ab'[n % 2]},{split or ''}" for n, split in enumerate(splits)]
    path.write_text("path,label,split\n" + "\n".join(rows))


Extract = Callable[..., featx.ExtractReport]


@pytest.fixture
def extract(toy: str, tmp_path: Path) -> Extract:
    def run(images: Any, name: str = "f.h5", **options: Any) -> featx.ExtractReport:
        output = tmp_path / name
        return featx.extract(images, model=toy, layers=["mean"], output=output, **options)

    return run


def splits_of(path: Path) -> list[str | None]:
    with featx.open_store(path) as store:
        return list(store.splits)


@pytest.mark.parametrize("limit", [None, 0])
def test_a_manifest_leaves_its_splits(
    manifest: Path, extract: Extract, tmp_path: Path, limit: int | None
) -> None:
    extract(manifest, single_file_limit=limit)
    store = tmp_path / "f.h5"
    assert splits_of(store) == SPLITS
    with featx.open_store(store) as opened:
        assert opened.split_names == NAMES
    with h5py.File(store) as file:
        assert file.attrs["format_version"] == 2
        assert file["split_names"].asstr()[:].tolist() == list(NAMES)
        assert file["splits"][:].tolist() == [1, 1, 0, -1, 2, 1, 1, 0]
    featx.pack_store(store)
    assert splits_of(store) == SPLITS
    assert featx.verify_store(store).is_intact


def test_splits_that_change_are_recorded_without_computing(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(manifest)
    changed = [*SPLITS[:-1], "train"]
    write_manifest(manifest, changed)
    assert extract(manifest).done == 0
    assert splits_of(tmp_path / "f.h5") == changed
    assert extract(manifest).seconds["load"] == 0  # And then, there is nothing to do.
    write_manifest(manifest, [None] * 8)
    assert extract(manifest).done == 0
    with h5py.File(tmp_path / "f.h5") as file:
        assert "splits" not in file


def test_one_split_after_the_other_and_merging(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(manifest, split="train")
    assert extract(manifest, split="test").rows == 6
    assert splits_of(tmp_path / "f.h5") == ["train", "train", "train", "train", "test", "test"]
    for number in (1, 2):
        extract(manifest, f"{number}.h5", shard=(number, 2))
    featx.merge_stores([tmp_path / "1.h5", tmp_path / "2.h5"], tmp_path / "all.h5")
    with featx.open_store(tmp_path / "all.h5") as store:
        got = dict(zip(store.keys, store.splits, strict=True))
    assert got == {f"image_{number}.png": split for number, split in enumerate(SPLITS)}


def test_exports_have_the_column_where_there_are_splits(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(manifest)
    for name in ("out.npy", "out.csv", "out.parquet"):
        featx.export_store(tmp_path / "f.h5", tmp_path / name)
    texts = [split or "" for split in SPLITS]
    for name, column in (("out.keys.csv", 3), ("out.csv", 2)):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header[column] == "split"
        assert [row[column] for row in rows] == texts
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["key", "label", "split", "content_hash", "features"]
    assert table["split"].to_pylist() == SPLITS


def test_copies_have_a_split_of_their_own(manifest: Path, extract: Extract, tmp_path: Path) -> None:
    (manifest.parent / "image_7.png").write_bytes((manifest.parent / "image_0.png").read_bytes())
    assert extract(manifest).reused == 1
    assert splits_of(tmp_path / "f.h5") == SPLITS


def test_stores_without_splits_have_no_such_column(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(manifest.parent, exclude=["*.csv"])
    assert splits_of(tmp_path / "f.h5") == [None] * 8
    with h5py.File(tmp_path / "f.h5") as file:
        assert not {"splits", "split_names"} & set(file)
    # A store from before there were splits takes them in.
    report = extract(manifest)
    assert (report.done, report.rows) == (0, 8)
    assert splits_of(tmp_path / "f.h5") == SPLITS


def test_damaged_splits_are_found_and_repaired(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(manifest)
    path = tmp_path / "f.h5"
    with h5py.File(path) as file:
        offset = file["splits"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset if offset >= SEAL_BYTES else offset + SEAL_BYTES] ^= 0xFF
    path.write_bytes(data)
    with featx.open_store(path) as store, pytest.raises(StoreDamaged, match="'splits'"):
        _ = store.splits
    assert not featx.verify_store(path).is_intact
    assert featx.verify_store(path, repair=True).dropped == 8
    extract(manifest)
    assert splits_of(path) == SPLITS


def test_a_split_without_a_name_is_damage(manifest: Path, extract: Extract, tmp_path: Path) -> None:
    extract(manifest)
    path = tmp_path / "f.h5"
    with h5py.File(path, "r+") as file:
        file["splits"][0] = 3
    with featx.open_store(path) as store, pytest.raises(StoreDamaged, match="no split"):
        _ = store.splits


def test_arrays_leave_the_splits_of_their_names(extract: Extract, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    y = np.arange(8) % 2
    np.savez(tmp_path / "a.npz", x_train=x[:6], y_train=y[:6], x_test=x[6:], y_test=y[6:])
    extract(tmp_path / "a.npz")
    assert splits_of(tmp_path / "f.h5") == ["test"] * 2 + ["train"] * 6
    report = featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head")
    assert (report.num_train, report.splits) == (6, {"test": 2, "train": 6})
    np.save(tmp_path / "images_test.npy", x)
    extract(tmp_path / "images_test.npy", "n.h5")
    assert splits_of(tmp_path / "n.h5") == ["test"] * 8


# ---- heads ----


def test_a_head_is_fitted_by_the_stores_split(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    write_manifest(manifest, ["Train", "train", "test", None, "val", "train", "fold3", "test"])
    extract(manifest)
    notes = Notes()
    store, head = tmp_path / "f.h5", tmp_path / "head"
    report = featx.fit_head(store, output=head, listener=notes)
    assert (report.num_train, report.num_unsplit, report.num_unlabelled) == (3, 2, 0)
    assert report.splits == {"Train": 1, "test": 2, "train": 2, "val": 1}
    assert report.evaluation is not None
    assert (report.evaluation.num_examples, report.refitted) == (3, False)
    assert notes.texts[0] == (
        "the store's split: fitted on Train (1) and train (2), measured on test (2) and val (1); "
        "ignore_split=True splits at random"
    )
    with featx.open_store(store) as opened:
        hashes = opened.content_hash[[0, 1, 5]].tolist()
    assert load_head(head).fitted_on.tolist() == hashes

    anew = featx.fit_head(store, output=head, ignore_split=True)
    assert (anew.splits, anew.num_unsplit, anew.refitted) == ({}, 0, True)


def test_pictures_on_both_sides_are_pointed_out(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    (manifest.parent / "image_7.png").write_bytes((manifest.parent / "image_1.png").read_bytes())
    extract(manifest)
    notes = Notes()
    featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", listener=notes)
    assert any("1 of the 3 images measured on is identical" in text for text in notes.texts)
    notes.texts.clear()
    featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", ignore_split=True, listener=notes)
    assert not any("identical" in text for text in notes.texts)


def test_the_split_of_a_labels_file_goes_first(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    extract(manifest)
    store, head, labels = tmp_path / "f.h5", tmp_path / "head", tmp_path / "labels.csv"
    sides = ["test", "test", "train", "train", "train", "train", "train", "train"]
    rows = [f"image_{n}.png,{'xy'[n % 2]},{side}" for n, side in enumerate(sides)]
    labels.write_text("path,label,split\n" + "\n".join(rows))
    report = featx.fit_head(store, labels=labels, output=head)
    assert (report.num_train, report.splits) == (6, {})
    ignored = featx.fit_head(store, labels=labels, ignore_split=True, output=head)
    assert ignored.refitted
    labels.write_text("path,label\n" + "\n".join(row.rpartition(",")[0] for row in rows))
    assert featx.fit_head(store, labels=labels, output=head).num_train == 4


@pytest.mark.parametrize("splits", [["test"] * 8, ["train"] * 8, ["fold1", "fold2"] * 4])
def test_a_split_of_one_side_divides_nothing(
    manifest: Path, extract: Extract, tmp_path: Path, splits: list[str | None]
) -> None:
    write_manifest(manifest, splits)
    extract(manifest)
    notes = Notes()
    report = featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head", listener=notes)
    assert (report.refitted, report.splits) == (True, {})
    assert "does not say both what to fit on and what to measure on" in notes.texts[0]


def test_a_class_without_training_images_says_what_to_do(
    manifest: Path, extract: Extract, tmp_path: Path
) -> None:
    write_manifest(manifest, ["train", "test"] * 4)
    extract(manifest)
    with pytest.raises(HeadError, match=r"no image of: b\. .* ignore_split=True"):
        featx.fit_head(tmp_path / "f.h5", output=tmp_path / "head")
