"""The page of a head: its figures, its pictures, its mistakes, its classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx.heads.measures import wilson_interval
from featx.report.page import Page, Section, element, write_page
from featx.report.page.charts import Bin, Point, draw_line, draw_reliability
from featx.report.page.gallery import Tile, make_gallery
from featx.report.page.markup import Content, Markup, isolate
from featx.report.page.tables import (
    Bar,
    Figure,
    make_bars,
    make_figures,
    make_matrix,
    make_table,
)
from featx.report.page.thumbnails import Thumbnails
from featx.units import format_count

if TYPE_CHECKING:
    from featx.heads.evaluation import Evaluation
    from featx.heads.fitting import FitReport
    from featx.heads.held_out import HeldOut
    from featx.heads.layer_choice import LayerTrial

NUM_PICTURES = 30
NUM_MISTAKES = 24
"""Pictures of a page: about 10 kB each."""

MAX_MATRIX = 30
"""Most classes of a matrix: of more, those in the most mistakes are shown."""

MAX_BARS = 30
NUM_CONFUSIONS = 10


def write_head_page(report: FitReport, path: str | Path) -> None:
    """Write one self-contained page about a head: what it can do, and where it is wrong.

    Pictures that are not where the store says any more, or at a URL, leave their places.

    Args:
        report: What `featx.fit_head` gave, with ``learning_curve=True`` for the curve.
        path: The HTML file. A page of featx is replaced, anything else left alone.

    Raises:
        InvalidValue: If the path cannot be that of a page; see
            `featx.report.page.check_page_path`.
    """
    with Thumbnails() as thumbnails:
        page = make_head_page(report, thumbnails)
    write_page(page, Path(path))


def make_head_page(report: FitReport, thumbnails: Thumbnails) -> Page:
    """Return the page; see `write_head_page`."""
    sections = [
        *_show_pictures(report, thumbnails),
        *_show_confusions(report.held_out),
        *_show_reliability(report.evaluation),
        *_show_curve(report),
        *_show_classes(report.evaluation),
        *_show_layers(report.layers),
    ]
    return Page(
        f"{report.kind} head on {report.layer}",
        [element("p", _introduce(report)), make_figures(_list_figures(report))],
        tuple(sections),
        element("p", _describe_making(report)),
    )


def _introduce(report: FitReport) -> str:
    fitted = (
        f"{format_count(len(report.classes), 'class', 'classes')}, {report.width:,} values for an "
        f"image, fitted on {format_count(report.num_train, 'image')}"
    )
    if report.evaluation is None:
        return f"{fitted}; none were held out to measure on."
    measured = f"measured on {report.evaluation.num_examples:,} that it had not seen"
    again = ", and fitted again on all of them" if report.refitted else ""
    return f"{fitted}, {measured}{again}."


def _list_figures(report: FitReport) -> Iterator[Figure]:
    evaluation, held_out = report.evaluation, report.held_out
    if evaluation is None or held_out is None:
        return
    low, high = evaluation.interval
    yield Figure("accuracy", f"{evaluation.accuracy:.3f}", f"95 %: {low:.3f} to {high:.3f}")
    num_wrong = int((~held_out.right).sum())
    yield Figure("mistakes", f"{num_wrong:,}", f"of {format_count(len(held_out), 'image')}")
    if evaluation.top5 is not None:
        yield Figure("among the five best", f"{evaluation.top5:.3f}")
    yield Figure("mean F1 of the classes", f"{evaluation.macro_f1:.3f}")
    yield Figure("log loss", f"{evaluation.log_loss:.3f}")
    yield Figure("calibration error", f"{evaluation.calibration_error:.3f}")
    near = report.near_duplicates
    if near is not None and near.num_held_out and near.accuracy_without is not None:
        count = format_count(near.num_held_out, "image")
        yield Figure("without near-duplicates", f"{near.accuracy_without:.3f}", f"{count} less")


def _show_pictures(report: FitReport, thumbnails: Thumbnails) -> Iterator[Section]:
    held_out = report.held_out
    if held_out is None:
        return
    chosen = choose_pictures(len(held_out), NUM_PICTURES)
    yield Section(
        "Predictions",
        [
            element(
                "p",
                "Held-out images in random order. Green: right. Red: wrong, with the true class.",
                class_="note",
            ),
            make_gallery("Predictions", list_tiles(held_out, chosen), thumbnails),
        ],
    )
    mistakes = held_out.mistakes()[:NUM_MISTAKES]
    if len(mistakes):
        yield Section(
            "Most confident mistakes",
            [
                element("p", "Is the head wrong, or the label?", class_="note"),
                make_gallery("Mistakes", list_tiles(held_out, mistakes), thumbnails),
            ],
        )


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


def _show_confusions(held_out: HeldOut | None) -> Iterator[Section]:
    if held_out is None:
        return
    counts, names = held_out.confusion(), held_out.classes
    caption = "Numbers of held-out images"
    wrong = counts - np.diag(np.diag(counts))
    if len(names) > MAX_MATRIX:
        involved = wrong.sum(axis=0) + wrong.sum(axis=1)
        shown = np.sort(np.argsort(-involved, kind="stable")[:MAX_MATRIX])
        caption += f"; the {MAX_MATRIX} of {len(names):,} classes that are in most mistakes"
        matrix = make_matrix(caption, [names[number] for number in shown], counts[shown][:, shown])
    else:
        matrix = make_matrix(caption, names, counts)
    content = element("div", matrix, _list_confusions(names, wrong), class_="beside")
    yield Section("Confusion matrix", content)


def _list_confusions(names: Sequence[str], wrong: np.ndarray) -> Content:
    pairs = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda pair: -wrong[pair])
    rows = [
        (isolate(names[true]), isolate(names[other]), f"{wrong[true, other]:,}")
        for true, other in pairs[:NUM_CONFUSIONS]
    ]
    if not rows:
        return ()
    return make_table("Most frequent confusions", ("true", "taken for", "images"), rows)


def _show_reliability(evaluation: Evaluation | None) -> Iterator[Section]:
    if evaluation is None:
        return
    shown = [Bin(one.confidence, one.accuracy, one.count) for one in evaluation.calibration]
    description = "Reliability: " + "; ".join(
        f"of {one.count:,} with confidence {one.confidence:.2f}, {one.accuracy:.2f} are right"
        for one in shown
    )
    yield Section(
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


def _show_curve(report: FitReport) -> Iterator[Section]:
    curve, evaluation = report.learning_curve, report.evaluation
    if len(curve) < 2 or evaluation is None:
        return
    count = evaluation.num_examples
    points = [
        Point(
            point.num_train, point.accuracy, *wilson_interval(round(point.accuracy * count), count)
        )
        for point in curve
    ]
    description = "Accuracy: " + "; ".join(
        f"{point.accuracy:.3f} with {format_count(point.num_train, 'image')}" for point in curve
    )
    yield Section(
        "Learning curve",
        [
            element(
                "p",
                "Accuracy by the number of images that the head was fitted on, with 95 % "
                "intervals. Where it still rises, more images would help.",
                class_="note",
            ),
            draw_line(description, "images fitted on", "accuracy", points),
        ],
        is_half=True,
    )


def _show_classes(evaluation: Evaluation | None) -> Iterator[Section]:
    if evaluation is None:
        return
    measured = sorted(
        (one for one in evaluation.classes if one.support), key=lambda one: (one.f1, one.name)
    )
    bars = [
        Bar(
            one.name,
            one.f1,
            cells=(f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.support:,}"),
        )
        for one in measured
    ]
    headers = ("class", "F1", "precision", "recall", "held out")
    content: list[Markup] = [make_bars("F1, the lowest first", headers, bars[:MAX_BARS])]
    if len(bars) > MAX_BARS:
        rest = make_bars("F1 of the other classes", headers, bars[MAX_BARS:])
        summary = element("summary", f"The other {len(bars) - MAX_BARS:,} classes")
        content.append(element("details", summary, rest))
    unmeasured = [one.name for one in evaluation.classes if not one.support]
    if unmeasured:
        names = ", ".join(unmeasured)
        content.append(element("p", f"Not measured, for want of different images: {names}."))
    yield Section("Classes", content)


def _show_layers(trials: Sequence[LayerTrial]) -> Iterator[Section]:
    bars = [
        Bar(
            f"{trial.layer} ({trial.pool})",
            trial.accuracy,
            trial.interval,
            (f"{trial.loss:.3f}", trial.kind, f"{trial.width:,}", f"{trial.seconds:.1f}"),
            is_chosen=number == 0,
        )
        for number, trial in enumerate(trials)
        if trial.accuracy is not None
    ]
    if bars:
        headers = ("layer", "accuracy", "log loss", "kind", "values", "seconds")
        caption = "By cross-validation of the images fitted on, the least loss first"
        yield Section("Layers", make_bars(caption, headers, bars))


def _describe_making(report: FitReport) -> str:
    settings = ", ".join(f"{name} = {value}" for name, value in report.settings.items())
    chosen = f" Chosen by cross-validation: {settings}." if settings else ""
    return f"Head in {report.output}; layer {report.layer}, pooled with {report.pool}.{chosen}"
