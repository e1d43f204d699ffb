"""The contract of image sources, run over every source and over images passed in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from featx.images.sources import IMAGE_SOURCES
from featx.images.sources.kinds import find_source
from featx.testing.contracts.images import (
    BuildSource,
    ImageSourceContract,
    PictureFilesContract,
    make_pictures,
)
from tests.images.source_files import FILES, IN_PYTHON, PIXELS, SOURCES

LISTED = [name for name in SOURCES if name not in IN_PYTHON and name != "image list"]


def choose(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("build", [SOURCES[name] for name in names], ids=names)


@choose(LISTED)
class TestEverySource(ImageSourceContract):
    pass


@choose(["image list"])
class TestImageLists(ImageSourceContract):
    test_two_locations_share_a_root = None  # type: ignore[assignment]  # There is one list.


@choose(list(FILES))
class TestDamagedPictures(PictureFilesContract):
    pass


@choose(sorted(IN_PYTHON))
class TestObjectsInPython:
    def test_features_labels_and_keys(self, build: BuildSource, tmp_path: Path) -> None:
        ImageSourceContract().test_features_labels_and_keys(build, tmp_path)

    def test_the_second_run_computes_nothing(self, build: BuildSource, tmp_path: Path) -> None:
        built = build(tmp_path, make_pictures())
        built.extract(tmp_path / "f.h5")
        report = built.extract(tmp_path / "f.h5")
        assert (report.done, report.skipped, report.reused, report.rows) == (0, 7, 0, 7)

    def test_nothing_is_gone_unless_rows_are_to_be_pruned(
        self, build: BuildSource, tmp_path: Path
    ) -> None:
        pictures = make_pictures()
        build(tmp_path, pictures).extract(tmp_path / "f.h5")
        fewer = build(tmp_path, pictures[:4])
        report = fewer.extract(tmp_path / "f.h5")
        assert (report.done, report.skipped, report.missing, report.rows) == (0, 4, 0, 7)
        report = fewer.extract(tmp_path / "f.h5", prune=True)
        assert (report.removed, report.rows) == (3, 4)


def test_every_source_of_the_registry_is_run_by_these_tests(tmp_path: Path) -> None:
    used = set()
    for number, name in enumerate({*LISTED} - {"paths", "glob", "webdataset"}):
        folder = tmp_path / str(number)
        folder.mkdir()
        images = SOURCES[name](folder, make_pictures()).arguments()["images"]
        used.add(find_source(str(images)))
    assert used == {IMAGE_SOURCES[name] for name in IMAGE_SOURCES}
    assert {*FILES, *PIXELS} == {*SOURCES}


def test_folders_named_like_archives_are_folders(tmp_path: Path) -> None:
    for name in ("a.tar", "a.zip", "a.npz", "a.csv"):
        (tmp_path / name).mkdir()
        assert find_source(str(tmp_path / name)) is IMAGE_SOURCES["folders"]
        assert find_source(f"s3://bucket/{name}/") is IMAGE_SOURCES["remote"]
