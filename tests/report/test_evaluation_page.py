"""The page and the sheet of `featx evaluate`: the pictures of folders, archives and stores."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx.files import hash_content
from featx.models import SOURCES
from featx.report.evaluation_page import make_evaluation_page, write_evaluation_page
from featx.report.page.thumbnails import Thumbnails
from featx.report.prediction_sheet import write_prediction_sheet
from featx.testing import toy_model, write_images
from tests.store_samples import write_sample

NUM_OTHERS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A head, and the same other pictures as a folder, an archive and a store."""
    folder = tmp_path_factory.mktemp("evaluated")
    train = write_images(NUM_OTHERS, folder / "train", classes=("dark", "light"))
    others = write_images(2 * NUM_OTHERS, folder / "others", classes=("dark", "light"))
    featx.extract(train, model=toy_model(), layers=["mean"], output=folder / "f.h5")
    featx.extract(others, model=toy_model(), layers=["mean"], output=folder / "o.h5")
    featx.fit_head(folder / "f.h5", kind="linear", output=folder / "head")
    with zipfile.ZipFile(folder / "others.zip", "w") as archive:
        for path in sorted(others.rglob("*.png")):
            archive.write(path, path.relative_to(others))
    yield folder
    SOURCES.remove("toy")


def _make_page(report: featx.EvaluateReport) -> str:
    with Thumbnails() as thumbnails:
        return make_evaluation_page(report, thumbnails).html()


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["others", "others.zip", "o.h5"])
def test_pictures_are_shown_wherever_they_come_from(folder: Path, name: str) -> None:
    report = featx.evaluate(folder / name, head=folder / "head")
    page = _make_page(report)
    assert report.num_fitted_on == NUM_OTHERS
    assert len(re.findall(r'src="data:image/jpeg', page)) == NUM_OTHERS
    assert sorted(re.findall(r'alt="([^"]*)"', page)) == sorted(report.held_out.keys)
    assert f"{NUM_OTHERS} images that the head was fitted on" in page
    figures = dict(re.findall(r'<dt>([^<]*)</dt><dd><span class="value">([^<]*)</span>', page))
    assert figures["accuracy"] == f"{report.evaluation.accuracy:.3f}"
    assert "held_out" not in report.to_dict()


def test_pictures_outside_the_root_are_not_shown(folder: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 255, (9, 9, 3), np.uint8)
    root = tmp_path / "photos"
    root.mkdir()
    paths = [tmp_path / "secret.png", root / "inside.png"]
    for number, path in enumerate(paths):
        Image.fromarray(pixels + np.uint8(number)).save(path)
    with featx.open_store(folder / "o.h5") as store:
        values = store.features("mean")[:2]
        head = replace(
            featx.load_head(folder / "head"), fitted_on=np.zeros((0, 16), np.uint8), folder=None
        )
    keys = ["../secret.png", "inside.png"]
    write_sample(tmp_path / "s.h5", {"mean": values}, keys, labels=["dark", "light"], root=root)
    with featx.open_store(tmp_path / "s.h5") as store:
        spec = store.vector_spec("mean", head.feature.pool)
        head = replace(head, model=store.model, feature=spec)
    report = featx.evaluate(tmp_path / "s.h5", head=head)
    hashes = b"".join(hash_content(path.read_bytes()) for path in paths)
    held_out = replace(report.held_out, content_hash=np.frombuffer(hashes, np.uint8).reshape(2, 16))
    assert held_out.root.text == str(root)
    page = _make_page(replace(report, held_out=held_out))
    shown = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert set(shown) == {"inside.png"}
    assert 'class="missing"' in page


def test_the_page_and_the_sheet_are_written(folder: Path, tmp_path: Path) -> None:
    report = featx.evaluate(folder / "o.h5", head=folder / "head")
    write_evaluation_page(report, tmp_path / "a.html")
    write_prediction_sheet(report, tmp_path / "a.png")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == _make_page(report)
    with Image.open(tmp_path / "a.png") as sheet:
        colors = len(sheet.getcolors(maxcolors=1 << 20) or ())
    assert colors > 10
