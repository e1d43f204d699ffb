"""What people see of fine-tuning: the table of epochs, the comparison, the page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from featx.heads.kinds import Task
from featx.images.roots import Root, RootKind
from featx.report.tuning_page import write_tuning_page
from featx.report.tuning_tables import describe_gain, show_fine_tune_report
from featx.training.comparison import ERROR, Comparison, compare_predictions
from featx.training.fine_tuning import FineTuneReport
from featx.training.run_folder import Epoch
from featx.training.start import TEST, TRAIN, Lesson


def make_number_report(tmp_path: Path) -> FineTuneReport:
    targets = np.linspace(2000, 2019, 20)
    years = np.append(targets, [2000, 2019])
    numbers = dataclasses.replace(
        make_lesson(tmp_path, (), years, "regression", ("year",)),
        parts=np.repeat([TEST, TRAIN], [20, 2]),
        straddling=np.zeros(20, bool),
    )
    before, was = numbers.judge(targets[:, np.newaxis] + 3)
    after, now = numbers.judge(targets[:, np.newaxis] - 1)
    history = (
        Epoch(0, "start", 0.0, None, None, 0.7, None, 0.5, 0.0, val_error=3.0),
        Epoch(1, "top", 1e-4, 0.6, None, 0.5, None, 12.0, 0.04, error=2.0, val_error=1.0),
    )
    return dataclasses.replace(
        make_report(tmp_path),
        classes=(),
        labels=None,
        task="regression",
        columns=("year",),
        kind="ridge",
        history=history,
        before=before,
        after=after,
        comparison=compare_predictions(was, now),
        held_out_before=was,
        held_out=now,
    )


def make_label_report(tmp_path: Path) -> FineTuneReport:
    truth = np.arange(40).reshape(20, 2) % 3 == 0
    labels = make_lesson(tmp_path, ("indoors", "night"), truth, "multi", ("tags",))
    wrong = np.where(truth, 0.9, 0.1)
    wrong[:4] = wrong[:4, ::-1]
    before, was = labels.judge(wrong)
    after, now = labels.judge(np.where(truth, 0.8, 0.2))
    return dataclasses.replace(
        make_report(tmp_path),
        classes=("indoors", "night"),
        task="multi",
        columns=("tags",),
        before=before,
        after=after,
        comparison=compare_predictions(was, now),
        held_out_before=was,
        held_out=now,
    )


def make_lesson(
    tmp_path: Path,
    classes: tuple[str, ...],
    targets: np.ndarray,
    task: Task = "single",
    columns: tuple[str, ...] = (),
) -> Lesson:
    count = len(targets)
    return Lesson(
        Root(RootKind.DISK, str(tmp_path)),
        tuple(f"{number}.png" for number in range(count)),
        np.zeros((count, 16), np.uint8),
        classes,
        targets,
        None,
        np.full(count, TEST, np.int8),
        np.zeros(count, bool),
        task,
        columns,
    )


def make_report(tmp_path: Path) -> FineTuneReport:
    count, classes = 20, ("<b>cat</b>", "dog")
    targets = np.arange(count) % 2
    lesson = make_lesson(tmp_path, classes, targets)
    probabilities = np.full((count, 2), 0.2, np.float32)
    probabilities[np.arange(count), targets] = 0.8
    mistaken = probabilities.copy()
    mistaken[:5] = mistaken[:5, ::-1]
    before, was = lesson.judge(mistaken)
    after, now = lesson.judge(probabilities)
    history = (
        Epoch(0, "start", 0.0, None, None, 0.7, 0.75, 0.5, 0.0),
        Epoch(1, "top", 1e-3, 0.6, 0.7, 0.5, 0.8, 12.0, 0.04),
        Epoch(2, "network", 1e-4, 0.4, 0.9, 0.6, 0.8, 14.0, 0.05),
    )
    return FineTuneReport(
        output="run",
        model="run/model.keras",
        labels="run/labels.txt",
        head="run/head",
        layer="out_relu",
        kind="linear",
        frozen_kind="lda",
        classes=classes,
        num_train=60,
        num_val=6,
        num_unlabelled=0,
        num_layers=9,
        trained=("conv",),
        history=history,
        best=1,
        before=before,
        after=after,
        comparison=compare_predictions(was, now),
        failures=(),
        seconds=30.0,
        held_out_before=was,
        held_out=now,
    )


def test_table_and_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_fine_tune_report(make_report(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    kept = next(line for line in lines if line.endswith("kept"))
    assert kept.split()[:2] == ["1", "top"]
    assert any(line.startswith("frozen features, lda head") and "0.7500" in line for line in lines)
    assert any(line.startswith("fine-tuned, epoch 1") and "1.0000" in line for line in lines)
    said = next(line for line in lines if line.startswith("gain"))
    assert said.startswith("gain +0.2500 (95 % interval +0.")
    assert "5 only right now, 0 only right before" in said


def test_a_start_that_is_kept_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = dataclasses.replace(make_report(tmp_path), best=0)
    show_fine_tune_report(report)
    out = capsys.readouterr().out
    assert "the start, kept" in out
    assert "fine-tuned, epoch" not in out
    write_tuning_page(report, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "No epoch was better than the start, which is kept." in text


def test_views_name_both_figures(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    assert "before 0.7500 (lda on frozen features), after 1.0000 (epoch 1)" in repr(report)
    assert "held_out" not in report.to_dict()


def test_page_shows_curves_and_escapes_names(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_tuning_page(make_report(tmp_path), page)
    text = page.read_text(encoding="utf-8")
    assert "Loss by epoch: validation 0.7 at first, 0.6 at last; training 0.6 at first" in text
    assert text.count("<polyline") == 4
    assert "<b>cat</b>" not in text
    assert "&lt;b&gt;cat&lt;/b&gt;" in text


def test_numbers_have_errors_instead_of_accuracies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = make_number_report(tmp_path)
    show_fine_tune_report(report)
    out = capsys.readouterr().out
    assert "val error" in out
    assert "accuracy" not in out
    assert "gain +2 in mean absolute error (95 % interval +2 to +2); 20 better now" in out
    assert "run/model.keras: year, 1 layer trained" in out
    write_tuning_page(report, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Error by epoch: validation 3 at first, 1 at last" in text
    assert "Residuals" in text
    assert "before 3 (lda on frozen features), after 1 (epoch 1)" in repr(report)


def test_labels_have_a_mean_average_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = make_label_report(tmp_path)
    show_fine_tune_report(report)
    out = capsys.readouterr().out
    assert "mAP" in out
    assert "2 labels" in out
    assert "3 better now, 0 better before (exact sign test: p = 0.25)" in out
    write_tuning_page(report, tmp_path / "page.html")
    assert "95 % intervals of each mAP" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_large_gains_have_no_exponent_and_none_is_minus_zero() -> None:
    found = Comparison(20, 50_000.0, 30_000.0, (9_999.9, 30_000.0), 15, 5, 0.04, ERROR)
    assert describe_gain(found).startswith("+20,000 in mean absolute error (95 % interval +10,000")
    same = Comparison(20, 5.0, 5.0, (0.0, 0.0), 0, 0, 1.0, ERROR)
    assert describe_gain(same).startswith("+0 in")
