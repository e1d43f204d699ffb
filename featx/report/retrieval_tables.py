"""Tables of ``featx evaluate --retrieval``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.index.retrieval_report import describe_images
from featx.report.drawing import make_table, print_result

if TYPE_CHECKING:
    from featx.index.retrieval_report import ClassRetrieval, RetrievalReport

SHOWN_CLASSES = 30
"""Most classes that are shown: those with the lowest precision."""


def show_retrieval(report: RetrievalReport) -> None:
    """Draw the measures of each trial, and those of the classes in the best one."""
    k = report.k
    measures = ("nearest", f"P@{k}", f"R@{k}", f"NDCG@{k}", "mAP")
    best = report.best
    headers = ("layer", "pool", "compared", "values", *measures)
    table = make_table(*headers, right=range(3, 4 + len(measures)), whole=True)
    for trial in report.trials:
        name = f"{trial.layer} *" if trial is best and len(report.trials) > 1 else trial.layer
        compared = trial.projection or "as stored"
        table.add_row(
            name, trial.pool, compared, f"{trial.dimension:,}", *measure_texts(trial.total)
        )
    print_result(table)
    if len(report.trials) > 1:
        print_result("* the best, of which these are the classes:")
    classes = sorted(best.classes, key=lambda one: one.precision)[:SHOWN_CLASSES]
    table = make_table("class", "images", *measures, right=range(1, 2 + len(measures)), whole=True)
    for one in classes:
        table.add_row(one.name, f"{one.queries:,}", *measure_texts(one))
    print_result(table)
    if len(best.classes) > SHOWN_CLASSES:
        print_result(f"The {SHOWN_CLASSES} of {len(best.classes):,} classes with the lowest P@{k}.")
    print_result(describe_images(report))


def measure_texts(one: ClassRetrieval) -> list[str]:
    """Return the measures as a table shows them."""
    average = one.average_precision
    shown = [one.nearest, one.precision, one.recall, one.ndcg]
    return [*(f"{value:.3f}" for value in shown), "" if average is None else f"{average:.3f}"]
