"""The page of an evaluation: how good a head is on other images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featx.report.evaluation_tables import list_left_out
from featx.report.page import Page, element, write_page
from featx.report.page.tables import make_figures
from featx.report.page.thumbnails import Thumbnails
from featx.report.task_sections import list_task_figures, show_measures, show_pictures
from featx.units import format_count

if TYPE_CHECKING:
    from featx.heads.evaluating import EvaluateReport


def write_evaluation_page(report: EvaluateReport, path: str | Path) -> None:
    """Write one self-contained page about a head on other images than it was fitted on.

    Pictures are opened below the root of the store or of the images that were named. Those that are
    not there any more, were changed, or are at a URL, leave their places.

    Args:
        report: What `featx.evaluate` gave.
        path: The HTML file. A page of featx is replaced, anything else left alone.

    Raises:
        InvalidValue: If the path cannot be that of a page; see
            `featx.report.page.check_page_path`.
    """
    with Thumbnails() as thumbnails:
        page = make_evaluation_page(report, thumbnails)
    write_page(page, Path(path))


def make_evaluation_page(report: EvaluateReport, thumbnails: Thumbnails) -> Page:
    """Return the page; see `write_evaluation_page`."""
    evaluation, held_out = report.evaluation, report.held_out
    first, last = show_measures(evaluation, held_out, "images")
    left_out = list_left_out(report)
    count = format_count(evaluation.num_examples, "labelled image")
    introduction = [element("p", f"Measured on {count} that it was not fitted on.")]
    if left_out:
        introduction.append(element("p", f"Left out: {', '.join(left_out)}.", class_="note"))
    return Page(
        f"{report.kind} head on {report.layer}",
        [*introduction, make_figures(list_task_figures(evaluation, held_out))],
        (*show_pictures(held_out, thumbnails), *first, *last),
        element("p", f"Head in {report.head}." if report.head else "Head in memory."),
    )
