"""The page of a fine-tuned network: its gain, its curves, its pictures and mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from featx.report.page import Page, Section, element, write_page
from featx.report.page.charts import draw_curves
from featx.report.page.markup import Markup
from featx.report.page.tables import Bar, Figure, make_bars, make_figures, make_table
from featx.report.page.thumbnails import Thumbnails
from featx.report.task_sections import list_task_figures, show_measures, show_pictures
from featx.report.tuning_tables import (
    describe_comparison,
    list_cells,
    list_figures,
    name_both,
    name_figure,
    name_learned,
)
from featx.training.comparison import ERROR
from featx.units import format_count

if TYPE_CHECKING:
    from featx.training.fine_tuning import FineTuneReport


def write_tuning_page(report: FineTuneReport, path: str | Path) -> None:
    """Write one self-contained page about a fine-tuned network.

    Args:
        report: What `featx.fine_tune` gave.
        path: The HTML file. A page of featx is replaced, anything else left alone.

    Raises:
        InvalidValue: If the path cannot be that of a page; see
            `featx.report.page.check_page_path`.
    """
    with Thumbnails() as thumbnails:
        page = make_tuning_page(report, thumbnails)
    write_page(page, Path(path))


def make_tuning_page(report: FineTuneReport, thumbnails: Thumbnails) -> Page:
    """Return the page; see `write_tuning_page`."""
    compared = report.comparison
    low, high = compared.interval
    form = "+.3g" if compared.figure == ERROR else "+.3f"
    gain = Figure("gain", f"{compared.gain:{form}}", f"95 %: {low:{form}} to {high:{form}}")
    first, last = show_measures(report.after, report.held_out, "held out")
    *said, made = describe_comparison(report)
    return Page(
        "Fine-tuned network",
        [
            element("p", _introduce(report)),
            make_figures([gain, *list_task_figures(report.after, report.held_out)]),
        ],
        (
            Section("Before and after", [_compare(report), *(element("p", one) for one in said)]),
            *_show_curves(report),
            *show_pictures(report.held_out, thumbnails),
            *first,
            *last,
            Section("Epochs", _list_epochs(report)),
        ),
        element("p", made),
    )


def _introduce(report: FineTuneReport) -> str:
    trained = format_count(len(report.trained), "layer")
    kept = "" if report.best else " No epoch was better than the start, which is kept."
    return (
        f"{name_learned(report)}; {trained} and a {report.kind} "
        f"top on {report.layer} trained on {format_count(report.num_train, 'image')}; measured on "
        f"{format_count(report.comparison.count, 'image')} that it had not seen.{kept}"
    )


def _compare(report: FineTuneReport) -> Markup:
    if report.task == "regression":
        rows = [(name, *list_figures(each).values()) for name, each in name_both(report)]
        caption = "The same held-out images, with 95 % intervals of each mean error"
        return make_table(caption, ("network", *list_figures(report.after)), rows)
    bars = []
    for name, each in name_both(report):
        figures = list_figures(each)
        share = float(next(iter(figures.values())))
        bars.append(Bar(name, share, each.interval, tuple(figures.values())[2:]))
    names = list(list_figures(report.after))
    caption = f"The same held-out images, with 95 % intervals of each {names[0]}"
    return make_bars(caption, ("network", names[0], *names[2:]), bars)


def _show_curves(report: FineTuneReport) -> Iterator[Section]:
    figure = name_figure(report)
    for name, key in (("Loss", "loss"), (figure.capitalize(), figure)):
        curves = {
            "validation": [
                (epoch.number, value)
                for epoch in report.history
                if (value := getattr(epoch, f"val_{key}")) is not None
            ],
            "training": [
                (epoch.number, value)
                for epoch in report.history
                if (value := getattr(epoch, key)) is not None
            ],
        }
        curves = {which: points for which, points in curves.items() if points}
        said = "; ".join(
            f"{which} {points[0][1]:.3g} at first, {points[-1][1]:.3g} at last"
            for which, points in curves.items()
        )
        if curves:
            chart = draw_curves(
                f"{name} by epoch: {said}",
                ("epoch", name.lower()),
                curves,
                is_share=key == "accuracy",
            )
            yield Section(name, chart, is_half=True)


def _list_epochs(report: FineTuneReport) -> Markup:
    figure = name_figure(report)
    names = ("epoch", "trained", "rate", "loss", figure, "val loss", f"val {figure}")
    rows = [
        (*list_cells(epoch), "kept" if epoch.number == report.best else "")
        for epoch in report.history
    ]
    return make_table(
        "Of the pictures that were learned from, varied as they were, and of those that chose the "
        "epoch; input: share of the time spent waiting for pictures",
        (*names, "seconds", "input", ""),
        rows,
    )
