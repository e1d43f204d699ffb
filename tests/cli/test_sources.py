"""Sources of images on the command line."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from featx.store import open_store
from featx.testing.contracts.images import make_pictures
from tests.cli.program import Program
from tests.images.source_files import arrays_of, write_tar

TOY = ("-m", "toy:colors", "--layer", "mean")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: an archive and a file of arrays with seven pictures each."""
    pictures = make_pictures()
    write_tar(tmp_path / "photos.tar", {picture.name: picture.data for picture in pictures})
    x, y = arrays_of(pictures)
    np.savez(tmp_path / "arrays.npz", x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_archive_through_the_whole_chain(featx: Program, here: Path) -> None:
    extracted = featx("extract", "photos.tar", *TOY)
    assert extracted.status == 0
    assert "features.h5: 7 rows (7 computed" in extracted.out
    assert "2 class folders" in extracted.err
    assert featx("fit-head").status == 0
    predicted = featx("predict", "photos.tar", "--exclude", "dog", "--json")
    assert predicted.out.splitlines()[0].startswith('{"path": "photos.tar/cat/0.png"')
    found = featx("search", "photos.tar", "-f", "-k", "1", "--sheet", "sheet.png")
    assert found.out.splitlines()[0] == "photos.tar/cat/0.png"
    assert Path("sheet.png").exists()
    assert "photos.tar" in featx("info").out


def test_a_damaged_archive_is_one_line_and_status_3(featx: Program, here: Path) -> None:
    data = Path("photos.tar").read_bytes()
    Path("photos.tar").write_bytes(data[:2000])
    outcome = featx("extract", "photos.tar", *TOY)
    assert outcome.status == 3
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("failed")]
    assert line.startswith("failed: photos.tar: the archive is damaged behind its 2 images")


def test_a_head_by_the_split_of_the_arrays(featx: Program, here: Path) -> None:
    assert featx("extract", "arrays.npz", *TOY).status == 0
    assert re.search(r"splits +test \d, train \d", featx("info").out)
    fitted = featx("fit-head")
    assert "the store's split: fitted on train (4), measured on test (" in fitted.err
    assert "by the split in the store: test " in fitted.out
    assert "fitted again" in featx("fit-head", "--ignore-split").out


def test_split_and_labels_of_arrays(featx: Program, here: Path) -> None:
    assert featx("extract", "arrays.npz", *TOY, "--split", "train").status == 0
    with open_store("features.h5") as store:
        assert list(store.keys[:2]) == ["x_train/00000", "x_train/00001"]
        assert list(store.labels) == ["cat", "cat", "cat", "dog"]
    refused = featx("extract", "photos.tar", *TOY, "--split", "train", "-o", "other.h5")
    assert refused.status == 2
    assert "which has no splits" in refused.err


def test_a_list_from_standard_input_instead_of_the_current_folder(
    featx: Program, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Input:
        buffer = io.BytesIO(b"dark/image_0.png\nlight/image_1.png\n")

    monkeypatch.setattr(sys, "stdin", Input)
    assert featx("extract", *TOY, "--image-list", "-").status == 0
    with open_store("features.h5") as store:
        assert list(store.keys) == ["dark/image_0.png", "light/image_1.png"]


def test_a_url(featx: Program, here: Path) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/cli/cat/1.png", make_pictures()[0].data)
    assert featx("extract", "memory://cli", *TOY).status == 0
    assert "memory://cli" in featx("extract", "memory://cli", *TOY).err


def test_predict_needs_images_or_a_list(featx: Program, here: Path) -> None:
    outcome = featx("predict")
    assert outcome.status == 2
    assert "--image-list" in outcome.err


def test_the_limit_of_pixels(featx: Program, photos: Path) -> None:
    outcome = featx("extract", *TOY, "--max-pixels", "10")
    assert outcome.status == 3
    assert "8 x 8 pixels: the limit is 10 pixels (--max-pixels changes it)" in outcome.err
    assert featx("extract", *TOY, "--max-pixels", "64").status == 0
