"""Sections of a page about a head of one class for each picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from featx.report.page import Section, element
from featx.report.page.charts import Bin, draw_reliability
from featx.report.page.gallery import Tile
from featx.report.page.markup import Content, Markup, isolate
from featx.report.page.tables import Bar, Figure, make_bars, make_matrix, make_table
from featx.units import format_count

if TYPE_CHECKING:
    from featx.heads.evaluation import Evaluation
    from featx.heads.held_out import HeldOut

MAX_MATRIX = 30
"""Most classes of a matrix: of more, those in the most mistakes are shown."""

MAX_BARS = 30
NUM_CONFUSIONS = 10


def list_figures(evaluation: Evaluation, held_out: HeldOut) -> Iterator[Figure]:
    """Yield the numbers that a page begins with."""
    low, high = evaluation.interval
    yield Figure("accuracy", f"{evaluation.accuracy:.3f}", f"95 %: {low:.3f} to {high:.3f}")
    num_wrong = int((~held_out.right).sum())
    yield Figure("mistakes", f"{num_wrong:,}", f"of {format_count(len(held_out), 'image')}")
    if evaluation.top5 is not None:
        yield Figure("among the five best", f"{evaluation.top5:.3f}")
    yield Figure("mean F1 of the classes", f"{evaluation.macro_f1:.3f}")
    tempered = evaluation.calibrated
    is_used = tempered is not None and tempered.used
    for name in ("log_loss", "calibration_error"):
        more = f"{getattr(tempered, name):.3f} with the temperature" if is_used else ""
        yield Figure(name.replace("_", " "), f"{getattr(evaluation, name):.3f}", more)


def choose_pictures(count: int, most: int) -> np.ndarray:
    """Return up to `most` of `count` rows at random, always the same ones."""
    return np.random.default_rng(0).permutation(count)[:most]


def list_tiles(held_out: HeldOut, rows: Sequence[int] | np.ndarray) -> Iterator[Tile]:
    """Yield the pictures of some rows, with the predicted and, if that is wrong, the true class."""
    for row in rows:
        is_right = bool(held_out.right[row])
        true = held_out.classes[held_out.targets[row]]
        yield Tile(
            held_out.keys[row],
            held_out.classes[held_out.predicted[row]],
            f"{held_out.confidence[row]:.2f}",
            None if is_right else true,
            is_right,
            held_out.content_hash[row].tobytes(),
            held_out.root,
        )


def show_confusions(held_out: HeldOut) -> Section:
    """Return the confusion matrix, beside the most frequent confusions."""
    counts, names = held_out.confusion(), held_out.classes
    caption = "Numbers of images"
    wrong = counts - np.diag(np.diag(counts))
    if len(names) > MAX_MATRIX:
        involved = wrong.sum(axis=0) + wrong.sum(axis=1)
        shown = np.sort(np.argsort(-involved, kind="stable")[:MAX_MATRIX])
        caption += f"; the {MAX_MATRIX} of {len(names):,} classes that are in most mistakes"
        matrix = make_matrix(caption, [names[number] for number in shown], counts[shown][:, shown])
    else:
        matrix = make_matrix(caption, names, counts)
    content = element("div", matrix, _list_confusions(names, wrong), class_="beside")
    return Section("Confusion matrix", content)


def _list_confusions(names: Sequence[str], wrong: np.ndarray) -> Content:
    pairs = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda pair: -wrong[pair])
    rows = [
        (isolate(names[true]), isolate(names[other]), f"{wrong[true, other]:,}")
        for true, other in pairs[:NUM_CONFUSIONS]
    ]
    if not rows:
        return ()
    return make_table("Most frequent confusions", ("true", "taken for", "images"), rows)


def show_reliability(evaluation: Evaluation) -> Section:
    """Return the reliability diagram."""
    shown = [Bin(one.confidence, one.accuracy, one.count) for one in evaluation.calibration]
    description = "Reliability: " + "; ".join(
        f"of {one.count:,} with confidence {one.confidence:.2f}, {one.accuracy:.2f} are right"
        for one in shown
    )
    return Section(
        "Reliability",
        [
            element(
                "p",
                "Whether 80 % of the predictions with a confidence of 0.8 are right: below the "
                "dashed line, the head is too sure of itself. Large circles stand for many images.",
                class_="note",
            ),
            draw_reliability(description, shown),
        ],
        is_half=True,
    )


def show_classes(evaluation: Evaluation, measured: str) -> Section:
    """Return the measures of each class; `measured` is what its images are called."""
    ranked = sorted(
        (one for one in evaluation.classes if one.support), key=lambda one: (one.f1, one.name)
    )
    bars = [
        Bar(
            one.name,
            one.f1,
            cells=(f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.support:,}"),
        )
        for one in ranked
    ]
    headers = ("class", "F1", "precision", "recall", measured)
    content: list[Markup] = [make_bars("F1, the lowest first", headers, bars[:MAX_BARS])]
    if len(bars) > MAX_BARS:
        rest = make_bars("F1 of the other classes", headers, bars[MAX_BARS:])
        count = format_count(len(bars) - MAX_BARS, "class", "classes")
        summary = element("summary", f"The other {count}")
        content.append(element("details", summary, rest))
    unmeasured = [one.name for one in evaluation.classes if not one.support]
    if unmeasured:
        names = ", ".join(unmeasured)
        content.append(element("p", f"Not measured, for want of different images: {names}."))
    return Section("Classes", content)
