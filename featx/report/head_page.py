"""The page of a head: its figures, its pictures, its mistakes, its classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featx.heads.measures import wilson_interval
from featx.report.page import Page, Section, element, write_page
from featx.report.page.charts import Point, draw_line
from featx.report.page.markup import isolate
from featx.report.page.tables import Bar, Figure, make_bars, make_figures, make_table
from featx.report.page.thumbnails import Thumbnails
from featx.report.task_sections import list_task_figures, show_measures, show_pictures
from featx.report.text import list_settings
from featx.units import format_count

if TYPE_CHECKING:
    from featx.heads.fitting import FitReport
    from featx.heads.grouping import NearDuplicates
    from featx.heads.layer_choice import LayerTrial


_CURVES = {
    "single": "accuracy",
    "multi": "mean average precision",
    "regression": "mean absolute error",
}


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
    sections: list[Section] = []
    figures: list[Figure] = []
    if report.evaluation is not None and report.held_out is not None:
        evaluation, held_out = report.evaluation, report.held_out
        figures = [
            *list_task_figures(evaluation, held_out),
            *_compare_without(report.near_duplicates),
        ]
        first, last = show_measures(evaluation, held_out, "held out")
        pictures = show_pictures(held_out, thumbnails)
        sections = [*pictures, *first, *_show_curve(report), *last]
    sections.extend(_show_layers(report.layers))
    return Page(
        f"{report.kind} head on {report.layer}",
        [element("p", _introduce(report)), make_figures(figures)],
        tuple(sections),
        element("p", _describe_making(report)),
    )


def _introduce(report: FitReport) -> str:
    learned = {
        "single": format_count(len(report.classes), "class", "classes"),
        "multi": format_count(len(report.classes), "label"),
        "regression": f"Predicts {', '.join(report.columns)}",
    }
    fitted = (
        f"{learned[report.task]}, {report.width:,} values for an image, fitted on "
        f"{format_count(report.num_train, 'image')}"
    )
    if report.evaluation is None:
        return f"{fitted}; none were held out to measure on."
    measured = f"measured on {report.evaluation.num_examples:,} that it had not seen"
    again = ", and fitted again on all of them" if report.refitted else ""
    return f"{fitted}, {measured}{again}."


def _compare_without(near: NearDuplicates | None) -> Iterator[Figure]:
    if near is not None and near.num_held_out and near.accuracy_without is not None:
        count = format_count(near.num_held_out, "image")
        yield Figure("without near-duplicates", f"{near.accuracy_without:.3f}", f"{count} less")


def _show_curve(report: FitReport) -> Iterator[Section]:
    curve, evaluation = report.learning_curve, report.evaluation
    if len(curve) < 2 or evaluation is None:
        return
    count, name = evaluation.num_examples, _CURVES[report.task]
    points = []
    for point in curve:
        interval = (point.accuracy, point.accuracy)
        if report.task == "single":
            interval = wilson_interval(round(point.accuracy * count), count)
        points.append(Point(point.num_train, point.accuracy, *interval))
    description = f"{name}: " + "; ".join(
        f"{point.accuracy:.3g} with {format_count(point.num_train, 'image')}" for point in curve
    )
    intervals = ", with 95 % intervals" if report.task == "single" else ""
    is_share = report.task != "regression"
    moves = "rises" if is_share else "falls"
    yield Section(
        "Learning curve",
        [
            element(
                "p",
                f"By the number of images that the head was fitted on{intervals}. Where it still "
                f"{moves}, more images would help.",
                class_="note",
            ),
            draw_line(description, ("images fitted on", name), points, is_share=is_share),
        ],
        is_half=True,
    )


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
    caption = "By cross-validation of the images fitted on, the least loss first"
    if bars:
        headers = ("layer", "accuracy", "log loss", "kind", "values", "seconds")
        yield Section("Layers", make_bars(caption, headers, bars))
    elif trials:
        rows = [
            (
                isolate(f"{trial.layer} ({trial.pool})"),
                f"{trial.loss:.4g}",
                trial.kind,
                f"{trial.width:,}",
                f"{trial.seconds:.1f}",
            )
            for trial in trials
        ]
        names = ("layer", "loss", "kind", "values", "seconds")
        yield Section("Layers", make_table(caption, names, rows))


def _describe_making(report: FitReport) -> str:
    chosen = ""
    if report.settings:
        chosen = f" Chosen by cross-validation: {list_settings(report.settings)}."
    pooled = "" if report.pool == "none" else f", pooled with {report.pool}"
    return f"Head in {report.output}; layer {report.layer}{pooled}.{chosen}"
