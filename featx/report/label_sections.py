"""Sections of a page about a head of several labels for each picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from featx.report.page import Section, element
from featx.report.page.gallery import Tile
from featx.report.page.tables import Bar, Figure, make_bars
from featx.units import format_count

if TYPE_CHECKING:
    from featx.heads.held_out import HeldOutLabels
    from featx.heads.label_evaluation import LabelEvaluation

MAX_LABELS = 30


def list_label_figures(evaluation: LabelEvaluation) -> Iterator[Figure]:
    """Yield the numbers that a page begins with."""
    interval = evaluation.interval
    more = "" if interval is None else f"95 %: {interval[0]:.3f} to {interval[1]:.3f}"
    yield Figure("mean average precision", f"{evaluation.mean_average_precision:.3f}", more)
    yield Figure("micro F1", f"{evaluation.micro_f1:.3f}", "of all labels together")
    yield Figure("macro F1", f"{evaluation.macro_f1:.3f}", "mean of the labels")
    yield Figure("all labels right", f"{evaluation.exact:.3f}", "share of images")
    yield Figure("log loss", f"{evaluation.log_loss:.3f}")


def show_labels(evaluation: LabelEvaluation, measured: str) -> Section:
    """Return the measures of each label; `measured` is what its images are called."""
    ranked = sorted(
        (one.average_precision, one.name, one)
        for one in evaluation.classes
        if one.average_precision is not None
    )
    bars = [
        Bar(
            name,
            precision,
            cells=(
                f"{one.threshold:.2f}",
                f"{one.precision:.3f}",
                f"{one.recall:.3f}",
                f"{one.f1:.3f}",
                f"{one.support:,}",
            ),
        )
        for precision, name, one in ranked
    ]
    headers = ("label", "AP", "threshold", "precision", "recall", "F1", measured)
    caption = "Average precision (AP), the lowest first"
    content = [make_bars(caption, headers, bars[:MAX_LABELS])]
    if len(bars) > MAX_LABELS:
        rest = make_bars("The other labels", headers, bars[MAX_LABELS:])
        summary = element("summary", f"The other {format_count(len(bars) - MAX_LABELS, 'label')}")
        content.append(element("details", summary, rest))
    unmeasured = [one.name for one in evaluation.classes if one.average_precision is None]
    if unmeasured:
        content.append(element("p", f"On none of these images: {', '.join(unmeasured)}."))
    return Section("Labels", content)


def rank_label_mistakes(held_out: HeldOutLabels) -> np.ndarray:
    """Return the rows with a wrong label, (M,), those that the head is surest of first."""
    wrong = held_out.predicted != held_out.targets
    sure = np.where(held_out.predicted, held_out.probabilities, 1 - held_out.probabilities)
    surest = np.where(wrong, sure, -1).max(axis=1)
    rows = np.flatnonzero(wrong.any(axis=1))
    return rows[np.argsort(-surest[rows], kind="stable")]


def list_label_tiles(held_out: HeldOutLabels, rows: Sequence[int] | np.ndarray) -> Iterator[Tile]:
    """Yield the pictures of some rows, with the predicted and, if one is wrong, the true labels."""
    for row in rows:
        is_right = bool(held_out.right[row])
        wrong = int((held_out.predicted[row] != held_out.targets[row]).sum())
        yield Tile(
            held_out.keys[row],
            _join(held_out.classes, held_out.predicted[row]),
            "all right" if is_right else f"{wrong} wrong",
            None if is_right else _join(held_out.classes, held_out.targets[row]),
            is_right,
            held_out.content_hash[row].tobytes(),
            held_out.root,
        )


def _join(names: Sequence[str], applies: np.ndarray) -> str:
    """Write the labels of a picture: ``cat, indoors``, or ``none``."""
    return ", ".join(names[number] for number in np.flatnonzero(applies).tolist()) or "none"
