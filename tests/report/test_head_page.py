"""The page of a head: what is on it is what was measured, for any number and names of classes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx.heads.evaluation import Calibrated, measure_classes
from featx.heads.held_out import HeldOut, hold_out
from featx.heads.outcomes import find_outcomes
from featx.images.roots import Root
from featx.models import SOURCES
from featx.report.contact_sheet import CAPTION, MARGIN, RIGHT, TILE, WRONG
from featx.report.evaluation_sections import MAX_MATRIX
from featx.report.head_page import make_head_page, write_head_page
from featx.report.page.thumbnails import Thumbnails
from featx.report.prediction_sheet import write_prediction_sheet
from featx.report.task_sections import NUM_PICTURES
from featx.testing import toy_model, write_images
from tests.browser import Browser


def _held_out(num_classes: int, count: int, name: str = "class") -> HeldOut:
    """Return pictures that are not there, every fifth of which is taken for the next class."""
    classes = tuple(f"{name} {number}" for number in range(num_classes))
    targets = np.arange(count) % num_classes
    predicted = np.where(np.arange(count) % 5, targets, (targets + 1) % num_classes)
    probabilities = np.full((count, num_classes), 0.01, np.float32)
    probabilities[np.arange(count), predicted] = np.linspace(0.5, 1, count)
    keys = [f"{classes[target]}/{number}.jpg" for number, target in enumerate(targets)]
    pictures = (Root.parse("/no/such/folder"), keys, np.zeros((count, 16), np.uint8))
    outcomes = find_outcomes(probabilities, targets)
    return hold_out(pictures, classes, outcomes, np.zeros(count, bool))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> featx.FitReport:
    folder = tmp_path_factory.mktemp("fitted")
    photos = write_images(60, folder / "photos", classes=("dark", "light"), size=(40, 40))
    featx.extract(photos, model=toy_model(), layers=["mean"], output=folder / "f.h5")
    SOURCES.remove("toy")
    return featx.fit_head(folder / "f.h5", output=folder / "head", learning_curve=True)


def _with(report: featx.FitReport, held_out: HeldOut) -> featx.FitReport:
    predicted = np.eye(len(held_out.classes))[held_out.predicted]
    evaluation = measure_classes(predicted, held_out.targets, held_out.classes)
    return replace(report, classes=held_out.classes, held_out=held_out, evaluation=evaluation)


def test_the_page_shows_the_pictures_that_were_held_out(
    report: featx.FitReport, tmp_path: Path
) -> None:
    write_head_page(report, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    held_out = report.held_out
    assert held_out is not None
    assert len(held_out) == 12
    assert sorted(re.findall(r'alt="([^"]*)"', page)) == sorted(held_out.keys)
    assert page.count("is-right") >= 12
    assert "Most confident mistakes" not in page, "there are none"
    assert '<span class="value">1.000</span>' in page
    assert '<h2 id="h4">Learning curve</h2>' in page


def test_the_most_confident_mistakes_come_first(report: featx.FitReport) -> None:
    held_out = _held_out(3, 50)
    with Thumbnails() as thumbnails:
        page = make_head_page(_with(report, held_out), thumbnails).html()
    mistakes = page.split("Most confident mistakes</h2>")[1].split("<section")[0]
    shown = [float(text) for text in re.findall(r'detail">([\d.]+); true', mistakes)]
    assert len(shown) == 10
    assert shown == sorted(shown, reverse=True)
    assert page.count("not there any more") == NUM_PICTURES + 10


@pytest.mark.parametrize("num_classes", [pytest.param(100, marks=pytest.mark.slow), 1000])
def test_a_thousand_classes_with_long_names_stay_legible(
    browser: Browser, report: featx.FitReport, tmp_path: Path, num_classes: int
) -> None:
    held_out = _held_out(num_classes, 2 * num_classes, "شارع_" + "long" * 30)
    write_head_page(_with(report, held_out), tmp_path / "a.html")
    for width in (1440, 390):
        browser.open(tmp_path / "a.html", width=width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.querySelectorAll('.matrix tbody tr').length") == MAX_MATRIX
    assert f"{MAX_MATRIX} of {num_classes:,} classes" in browser.evaluate("document.body.innerText")
    rows = browser.evaluate("document.querySelectorAll('.bar').length")
    assert rows == num_classes, "all classes are there, most of them folded away"
    sizes = browser.evaluate(
        "[...document.querySelectorAll('td, th, figcaption div, p, dd')]"
        ".map((one) => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 12


def test_the_figures_are_those_of_the_evaluation(report: featx.FitReport) -> None:
    shown = _with(report, _held_out(7, 70))
    evaluation = shown.evaluation
    assert evaluation is not None
    with Thumbnails() as thumbnails:
        page = make_head_page(shown, thumbnails).html()
    figures = dict(re.findall(r'<dt>([^<]*)</dt><dd><span class="value">([^<]*)</span>', page))
    assert figures["mistakes"] == "14"
    for name, value in (
        ("accuracy", evaluation.accuracy),
        ("among the five best", evaluation.top5),
        ("log loss", evaluation.log_loss),
        ("calibration error", evaluation.calibration_error),
    ):
        assert figures[name] == f"{value:.3f}", name
    assert page.count('class="dot"') == len(evaluation.calibration) + len(shown.learning_curve)
    assert "with the temperature" not in page
    tempered = replace(evaluation, calibrated=Calibrated(1.5, 0.123, 0.045, used=True))
    with Thumbnails() as thumbnails:
        page = make_head_page(replace(shown, evaluation=tempered), thumbnails).html()
    assert "0.123 with the temperature" in page
    assert "0.045 with the temperature" in page


def test_a_curve_grows_to_all_rows(report: featx.FitReport) -> None:
    numbers = [point.num_train for point in report.learning_curve]
    assert numbers == [4, 6, 12, 24, 48]
    assert report.learning_curve[-1].accuracy == report.accuracy
    assert report.to_dict()["learning_curve"][0]["num_train"] == 4
    assert "held_out" not in report.to_dict()


def test_the_sheet_frames_right_and_wrong(report: featx.FitReport, tmp_path: Path) -> None:
    write_prediction_sheet(_with(report, _held_out(2, 60)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        sheet = np.asarray(image)
    step = TILE + MARGIN
    frames = [
        tuple(sheet[MARGIN - 2 + row * (step + CAPTION), MARGIN + 60 + column * step].tolist())
        for row in range(5)
        for column in range(6)
    ]
    assert set(frames) == {RIGHT, WRONG}
    shown = np.random.default_rng(0).permutation(60)[:30]
    assert frames == [WRONG if row % 5 == 0 else RIGHT for row in shown]


def test_without_held_out_pictures_there_is_little_to_show(
    report: featx.FitReport, tmp_path: Path
) -> None:
    nothing = replace(report, held_out=None, evaluation=None, learning_curve=())
    write_head_page(nothing, tmp_path / "a.html")
    assert "none were held out" in (tmp_path / "a.html").read_text(encoding="utf-8")
    with pytest.raises(featx.errors.InvalidValue, match="No images were held out"):
        write_prediction_sheet(nothing, tmp_path / "a.png")
