"""What every source of images must hold, whatever it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.extraction.report import ExtractReport
from featx.images.sources import EVERYTHING, gather
from featx.images.sources.finding import IMAGE_SOURCES
from featx.options import Selection
from tests.images.source_files import FILES, IN_PYTHON, SOURCES, Built, make_pictures


def run(built: Built, output: Path, toy: str, **options: Any) -> ExtractReport:
    return featx.extract(
        **{"images": (), **built.arguments()},
        model=toy,
        layers=["mean"],
        output=output,
        batch_size=3,
        **options,
    )


@pytest.mark.parametrize("source", SOURCES)
def test_features_labels_and_keys_are_the_same_through_every_source(
    source: str, tmp_path: Path, toy: str
) -> None:
    pictures = make_pictures()
    built = SOURCES[source](tmp_path, pictures)
    report = run(built, tmp_path / "f.h5", toy)
    assert (report.done, report.failed, report.rows) == (7, 0, 7)
    with featx.open_store(tmp_path / "f.h5") as store:
        table = store.table("mean")
    assert list(table.keys) == built.keys
    assert list(table.labels) == [picture.label for picture in pictures]
    expected = np.stack([p.pixels.mean(axis=(0, 1)) / 255 for p in pictures])
    np.testing.assert_allclose(table.values, expected, rtol=1e-5)


@pytest.mark.parametrize("source", SOURCES)
def test_the_second_run_computes_nothing(source: str, tmp_path: Path, toy: str) -> None:
    built = SOURCES[source](tmp_path, make_pictures())
    run(built, tmp_path / "f.h5", toy)
    before = (tmp_path / "f.h5").read_bytes()
    report = run(built, tmp_path / "f.h5", toy)
    assert (report.done, report.skipped, report.reused, report.rows) == (0, 7, 0, 7)
    if source not in IN_PYTHON:  # Of these nothing is known before they are read.
        assert (tmp_path / "f.h5").read_bytes() == before


@pytest.mark.parametrize("source", FILES)
def test_a_broken_picture_is_one_failure_and_nobody_elses_rows_shift(
    source: str, tmp_path: Path, toy: str
) -> None:
    pictures = make_pictures(broken=3)
    built = FILES[source](tmp_path, pictures)
    report = run(built, tmp_path / "f.h5", toy)
    assert (report.done, report.failed) == (6, 1)
    good = [number for number in range(7) if number != 3]
    with featx.open_store(tmp_path / "f.h5") as store:
        assert list(store.keys) == [built.keys[number] for number in good]
        assert [failure.key for failure in store.failures] == [built.keys[3]]
        values = store.table("mean").values
    expected = np.stack([pictures[n].pixels.mean(axis=(0, 1)) / 255 for n in good])
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("source", ["tar", "tar.gz", "zip", "npz", "url", "webdataset", "csv"])
def test_what_has_vanished_is_missing_and_can_be_pruned(
    source: str, tmp_path: Path, toy: str
) -> None:
    run(SOURCES[source](tmp_path, make_pictures()), tmp_path / "f.h5", toy)
    rebuilt = tmp_path / "rebuilt" / tmp_path.name
    rebuilt.mkdir(parents=True)
    if source == "url":
        import fsspec

        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)
    built = SOURCES[source](rebuilt, make_pictures()[:-1])
    for old in tmp_path.iterdir():
        if old.is_dir() and old.name in ("shards", "photos"):
            shutil.rmtree(old)
        elif old.is_file() and old.suffix != ".h5":
            old.unlink()
    report = run(built, tmp_path / "f.h5", toy)
    assert (report.done, report.missing, report.rows) == (0, 1, 7)
    report = run(built, tmp_path / "f.h5", toy, prune=True)
    assert (report.removed, report.rows) == (1, 6)


@pytest.mark.parametrize("source", sorted(IN_PYTHON))
def test_of_objects_nothing_is_gone_unless_rows_are_to_be_pruned(
    source: str, tmp_path: Path, toy: str
) -> None:
    pictures = make_pictures()
    run(SOURCES[source](tmp_path, pictures), tmp_path / "f.h5", toy)
    fewer = SOURCES[source](tmp_path, pictures[:4])
    report = run(fewer, tmp_path / "f.h5", toy)
    assert (report.done, report.skipped, report.missing, report.rows) == (0, 4, 0, 7)
    report = run(fewer, tmp_path / "f.h5", toy, prune=True)
    assert (report.removed, report.rows) == (3, 4)


@pytest.mark.parametrize("source", ["folder", "tar", "tar.gz", "zip", "npz", "url", "csv"])
def test_every_item_reads_itself_and_is_small(source: str, tmp_path: Path) -> None:
    pictures = make_pictures()
    arguments = dict(SOURCES[source](tmp_path, pictures).arguments())
    found = gather(arguments["images"])
    assert len(found.items) == 7
    # All of them share one object that knows how to read them.
    assert len({id(item.reader) for item in found.items}) == 1
    for item, picture in zip(reversed(found.items), reversed(pictures), strict=True):
        data = item.read_bytes()
        assert data == picture.data or data.endswith(picture.pixels.tobytes())


@pytest.mark.parametrize("source", ["folder", "tar", "tar.gz", "zip", "url", "image list", "csv"])
def test_exclude_leaves_out_and_what_is_left_out_is_not_gone(
    source: str, tmp_path: Path, toy: str
) -> None:
    built = SOURCES[source](tmp_path, make_pictures())
    run(built, tmp_path / "f.h5", toy)
    report = run(built, tmp_path / "f.h5", toy, exclude=[built.keys[1], built.keys[2]])
    assert (report.skipped, report.missing, report.rows) == (5, 0, 7)
    arguments = dict(built.arguments())
    found = gather(
        arguments.get("images", ()),
        selection=Selection([built.keys[0]], arguments.get("image_list")),
    )
    assert [item.key for item in found.items] == built.keys[1:]


def test_every_module_of_the_registry_is_run_by_these_tests(tmp_path: Path) -> None:
    from featx.images.sources.finding import _name_path, _resolve_all

    used = {"remote"} if "url" in SOURCES else set()
    for source in set(SOURCES) - IN_PYTHON - {"url", "image list", "paths"}:
        place = tmp_path / source
        place.mkdir()
        (path,) = (SOURCES[source](place, make_pictures()).arguments()["images"],)
        used |= {one.source for one in _resolve_all([str(path)])}
    assert used == set(IMAGE_SOURCES)
    assert _name_path(str(tmp_path)).source == "folders"
    assert Selection() == EVERYTHING
