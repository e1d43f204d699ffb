"""What people see of fine-tuning: the table of epochs, the comparison, the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featx.images.roots import Root, RootKind
from featx.report.tuning_page import write_tuning_page
from featx.report.tuning_tables import show_fine_tune_report
from featx.training.comparison import compare_paired
from featx.training.fine_tuning import FineTuneReport
from featx.training.run_folder import Epoch
from featx.training.start import TEST, Lesson


def make_report(tmp_path: Path) -> FineTuneReport:
    count, classes = 20, ("<b>cat</b>", "dog")
    targets = np.arange(count) % 2
    lesson = Lesson(
        Root(RootKind.DISK, str(tmp_path)),
        tuple(f"{number}.png" for number in range(count)),
        np.zeros((count, 16), np.uint8),
        classes,
        targets,
        None,
        np.full(count, TEST, np.int8),
        np.zeros(count, bool),
    )
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
        comparison=compare_paired(was.right, now.right),
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
