"""Pages and sheets of heads that predict several labels, or a number."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

import featx
from featx.errors import InvalidValue
from featx.events import Listener
from featx.heads.held_out import HeldOutLabels, HeldOutNumbers
from featx.report.evaluation_page import make_evaluation_page
from featx.report.head_page import make_head_page
from featx.report.label_sections import rank_label_mistakes
from featx.report.number_sections import rank_number_mistakes
from featx.report.page.charts import draw_scatter
from featx.report.page.thumbnails import Thumbnails
from tests.browser import Browser
from tests.cli.program import Program
from tests.store_samples import write_sample

COUNT = 120
NAMES = ("cat", "dog", "fish")


class Notes(Listener):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def _write(folder: Path, name: str, seed: int) -> None:
    """Write a store, and a table with labels and a number, both to be told from the features."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(COUNT, 5)).astype(np.float32)
    truth = values[:, :3] + 0.5 * random.normal(size=(COUNT, 3)) > 0.2
    prices = 1000 * (3 * values[:, 0] - values[:, 1] + 0.3 * random.normal(size=COUNT))
    keys = [f"{name}{number}.png" for number in range(COUNT)]
    write_sample(folder / f"{name}.h5", {"v": values}, keys)
    lines = [
        f"/photos/{key},{'|'.join(np.array(NAMES)[applies]) or '|'},{price:.3f}"
        for key, applies, price in zip(keys, truth, prices, strict=True)
    ]
    (folder / f"{name}.csv").write_text("path,tags,price\n" + "\n".join(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    _write(folder, "a", 1)
    _write(folder, "b", 2)
    return folder


def _fit(folder: Path, name: str, **options: object) -> featx.FitReport:
    return featx.fit_head(folder / "a.h5", labels=folder / "a.csv", output=folder / name, **options)  # type: ignore[misc]


@pytest.fixture(scope="module")
def labels(folder: Path) -> featx.FitReport:
    return _fit(folder, "labels", label_columns="tags", learning_curve=True)


@pytest.fixture(scope="module")
def numbers(folder: Path) -> featx.FitReport:
    return _fit(folder, "numbers", target="price", learning_curve=True)


def _show(report: featx.FitReport) -> str:
    with Thumbnails() as thumbnails:
        return make_head_page(report, thumbnails).html()


def _figures(page: str) -> dict[str, str]:
    return dict(re.findall(r'<dt>([^<]*)</dt><dd><span class="value">([^<]*)</span>', page))


def test_the_page_of_labels_has_the_figures_of_scikit_learn(labels: featx.FitReport) -> None:
    page, held_out = _show(labels), labels.held_out
    assert isinstance(held_out, HeldOutLabels)
    truth, predicted = held_out.targets, held_out.predicted
    figures = _figures(page)
    for average in ("micro", "macro"):
        assert (
            figures[f"{average} F1"] == f"{metrics.f1_score(truth, predicted, average=average):.3f}"
        )
    assert figures["all labels right"] == f"{metrics.accuracy_score(truth, predicted):.3f}"
    expected = metrics.average_precision_score(truth, held_out.probabilities, average=None)
    rows = re.findall(r'<th scope="row"><bdi>(cat|dog|fish)</bdi></th>.*?"number">([\d.]+)<', page)
    assert dict(rows) == {name: f"{value:.3f}" for name, value in zip(NAMES, expected, strict=True)}
    assert [value for _, value in rows] == sorted(value for _, value in rows)
    assert "mean average precision" in page
    assert "3 labels" in page


def test_the_surest_wrong_label_comes_first(labels: featx.FitReport) -> None:
    held_out = labels.held_out
    assert isinstance(held_out, HeldOutLabels)
    rows = rank_label_mistakes(held_out)
    assert sorted(rows) == np.flatnonzero(~held_out.right).tolist()
    sure = [
        max(
            held_out.probabilities[row, label]
            if held_out.predicted[row, label]
            else 1 - held_out.probabilities[row, label]
            for label in range(3)
            if held_out.predicted[row, label] != held_out.targets[row, label]
        )
        for row in rows
    ]
    assert sure == sorted(sure, reverse=True)


def test_the_page_of_numbers_draws_every_picture(numbers: featx.FitReport) -> None:
    page, held_out = _show(numbers), numbers.held_out
    assert isinstance(held_out, HeldOutNumbers)
    figures = _figures(page)
    expected = metrics.r2_score(held_out.targets, held_out.predicted)
    assert figures["R²"] == f"{expected:.3f}"
    error = metrics.mean_absolute_error(held_out.targets, held_out.predicted)
    assert figures["mean absolute error"] == f"{error:.4g}"
    assert page.count('class="point"') == 2 * len(held_out)
    errors = np.abs(held_out.predicted - held_out.targets)[rank_number_mistakes(held_out)]
    assert (np.diff(errors) <= 0).all()
    assert f"off by {held_out.predicted[0] - held_out.targets[0]:+.4g}" in page
    assert "Confusion" not in page


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e12])
def test_points_of_any_size_are_inside_and_equal_ones_on_the_line(scale: float) -> None:
    values = scale * np.array([-3.0, 0.0, 1.0, 7.5])
    chart = draw_scatter("d", ("x", "y"), (values, values), is_diagonal=True)
    places = np.array(re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', chart), float)
    ends = re.search(
        r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" class="i', chart
    )
    assert ends is not None
    x1, y1, x2, y2 = map(float, ends.groups())
    assert len(places) == 4
    on_line = y1 + (places[:, 0] - x1) * (y2 - y1) / (x2 - x1)
    np.testing.assert_allclose(places[:, 1], on_line, atol=0.2)
    assert ((places[:, 0] >= x1) & (places[:, 0] <= x2)).all()


def test_points_that_are_all_equal_are_drawn() -> None:
    for value in (0.0, 5.0, -1e9):
        chart = draw_scatter("d", ("x", "y"), (np.full(3, value), np.zeros(3)))
        assert chart.count("<circle") == 3
        assert "nan" not in chart


def test_an_evaluation_of_each_task_is_shown(
    folder: Path,
    labels: featx.FitReport,
    numbers: featx.FitReport,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = Program(monkeypatch, capsys)
    monkeypatch.chdir(folder)
    for name, heading in (("labels", "Labels"), ("numbers", "Predicted against true")):
        command = ("evaluate", "b.h5", "--head", name, "--labels", "b.csv")
        outcome = program(*command, "--report", "e.html", "--sheet", "e.png")
        assert outcome.status == 0, outcome.err
        assert heading in (folder / "e.html").read_text(encoding="utf-8")
        report = featx.evaluate("b.h5", head=name, labels="b.csv")
        with Thumbnails() as thumbnails:
            page = make_evaluation_page(report, thumbnails).html()
        assert f"Measured on {COUNT} labelled images" in page


def test_classes_and_layers_of_a_network_do_not_go_with_other_tasks(
    folder: Path, labels: featx.FitReport, numbers: featx.FitReport
) -> None:
    for name in ("labels", "numbers"):
        with pytest.raises(InvalidValue, match="top= does not go"):
            featx.predict(folder / "b.h5", head=folder / name, top=2)
    noted = Notes()
    _fit(folder, "hidden", target="price", hidden=(8,), listener=noted)
    assert "hidden= not used: mlp heads do not learn numbers" in noted.lines


@pytest.mark.parametrize("name", ["labels", "numbers"])
def test_pages_fit_narrow_screens(
    browser: Browser, request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    page = tmp_path / "a.html"
    page.write_text(_show(request.getfixturevalue(name)), encoding="utf-8")
    for width in (1440, 390):
        browser.open(page, width=width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
