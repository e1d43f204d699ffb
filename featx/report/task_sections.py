"""What a page and a sheet show of a head, by what it predicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from featx.heads.evaluation import Evaluation
from featx.heads.held_out import HeldOut, HeldOutLabels, HeldOutNumbers
from featx.heads.label_evaluation import LabelEvaluation
from featx.heads.number_evaluation import NumberEvaluation
from featx.report.evaluation_sections import (
    choose_pictures,
    list_figures,
    list_tiles,
    show_classes,
    show_confusions,
    show_reliability,
)
from featx.report.label_sections import (
    list_label_figures,
    list_label_tiles,
    rank_label_mistakes,
    show_labels,
)
from featx.report.number_sections import (
    list_number_figures,
    list_number_tiles,
    rank_number_mistakes,
    show_numbers,
)
from featx.report.page import Section, element
from featx.report.page.gallery import Tile, make_gallery

if TYPE_CHECKING:
    from featx.heads.held_out import AnyHeldOut
    from featx.heads.judging import AnyEvaluation
    from featx.report.page.tables import Figure
    from featx.report.page.thumbnails import Thumbnails

NUM_PICTURES = 30
NUM_MISTAKES = 24
"""Pictures of a page: about 10 kB each."""


def list_task_figures(evaluation: AnyEvaluation, held_out: AnyHeldOut) -> Iterator[Figure]:
    """Yield the numbers that a page begins with."""
    if isinstance(evaluation, LabelEvaluation):
        yield from list_label_figures(evaluation)
    elif isinstance(evaluation, NumberEvaluation):
        yield from list_number_figures(evaluation)
    elif isinstance(held_out, HeldOut):
        yield from list_figures(evaluation, held_out)


def show_measures(
    evaluation: AnyEvaluation, held_out: AnyHeldOut, measured: str
) -> tuple[list[Section], list[Section]]:
    """Return the sections before and after a learning curve.

    Args:
        evaluation: The figures.
        held_out: What was predicted.
        measured: What the images are called that it was measured on, in a column of a table.
    """
    if isinstance(evaluation, LabelEvaluation):
        return [], [show_labels(evaluation, measured)]
    if isinstance(evaluation, NumberEvaluation) and isinstance(held_out, HeldOutNumbers):
        return list(show_numbers(evaluation, held_out)), []
    assert isinstance(evaluation, Evaluation)
    assert isinstance(held_out, HeldOut)
    first = [show_confusions(held_out), show_reliability(evaluation)]
    return first, [show_classes(evaluation, measured)]


def show_pictures(held_out: AnyHeldOut, thumbnails: Thumbnails) -> Iterator[Section]:
    """Yield some of the predictions, and the worst mistakes if there are any."""
    is_number = isinstance(held_out, HeldOutNumbers)
    colors = "" if is_number else " Green: right. Red: wrong, with what is true."
    chosen = choose_pictures(len(held_out), NUM_PICTURES)
    yield Section(
        "Predictions",
        [
            element("p", f"In random order.{colors}", class_="note"),
            make_gallery("Predictions", list_any_tiles(held_out, chosen), thumbnails),
        ],
    )
    mistakes = _rank_mistakes(held_out)[:NUM_MISTAKES]
    if len(mistakes):
        yield Section(
            "Largest errors" if is_number else "Most confident mistakes",
            [
                element(
                    "p",
                    f"Is the head wrong, or the {'number' if is_number else 'label'}?",
                    class_="note",
                ),
                make_gallery("Mistakes", list_any_tiles(held_out, mistakes), thumbnails),
            ],
        )


def list_any_tiles(held_out: AnyHeldOut, rows: np.ndarray) -> Iterator[Tile]:
    """Return the pictures of some rows, with what was predicted."""
    if isinstance(held_out, HeldOutLabels):
        return list_label_tiles(held_out, rows)
    if isinstance(held_out, HeldOutNumbers):
        return list_number_tiles(held_out, rows)
    return list_tiles(held_out, rows)


def _rank_mistakes(held_out: AnyHeldOut) -> np.ndarray:
    if isinstance(held_out, HeldOutLabels):
        return rank_label_mistakes(held_out)
    if isinstance(held_out, HeldOutNumbers):
        return rank_number_mistakes(held_out)
    return held_out.mistakes()
