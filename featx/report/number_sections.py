"""Sections of a page about a head that predicts a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from featx.report.page import Section, element
from featx.report.page.charts import draw_scatter
from featx.report.page.gallery import Tile
from featx.report.page.tables import Figure
from featx.units import format_count, format_number

if TYPE_CHECKING:
    from featx.heads.held_out import HeldOutNumbers
    from featx.heads.number_evaluation import NumberEvaluation

MOST_POINTS = 2_000
"""Points of a chart: of more images, so many are drawn that were chosen at random."""


def list_number_figures(evaluation: NumberEvaluation) -> Iterator[Figure]:
    """Yield the numbers that a page begins with."""
    low, high = map(format_number, evaluation.interval)
    explained = "–" if evaluation.r_squared is None else f"{evaluation.r_squared:.3f}"
    found = evaluation.r_squared_interval
    more = "" if found is None else f"95 %: {found[0]:.3f} to {found[1]:.3f}"
    yield Figure("R²", explained, more)
    yield Figure("mean absolute error", format_number(evaluation.mae), f"95 %: {low} to {high}")
    yield Figure("root mean squared error", format_number(evaluation.rmse))
    yield Figure(
        "error of saying the mean", format_number(evaluation.baseline_mae), "mean absolute"
    )


def show_numbers(evaluation: NumberEvaluation, held_out: HeldOutNumbers) -> Iterator[Section]:
    """Yield what was predicted against what is true, and what is left of it."""
    chosen = np.arange(len(held_out))
    if len(chosen) > MOST_POINTS:
        chosen = np.random.default_rng(0).permutation(chosen)[:MOST_POINTS]
    true, predicted = held_out.targets[chosen], held_out.predicted[chosen].astype(np.float64)
    shown = format_count(len(chosen), "image")
    part = f" {len(chosen):,} of {len(held_out):,} images." if len(chosen) < len(held_out) else ""
    explained = "" if evaluation.r_squared is None else f", R² {evaluation.r_squared:.3f}"
    yield Section(
        "Predicted against true",
        [
            element("p", f"On the dashed line, both are equal.{part}", class_="note"),
            draw_scatter(
                f"Predicted against true numbers of {shown}{explained}",
                ("true", "predicted"),
                (true, predicted),
                is_diagonal=True,
            ),
        ],
        is_half=True,
    )
    yield Section(
        "Residuals",
        [
            element(
                "p",
                "Predicted less true, by what was predicted. A slope or a bend around the dashed "
                "line is something that the head did not learn.",
                class_="note",
            ),
            draw_scatter(
                f"Residuals of {shown}, mean {float((predicted - true).mean()):.4g}",
                ("predicted", "predicted − true"),
                (predicted, predicted - true),
            ),
        ],
        is_half=True,
    )


def rank_number_mistakes(held_out: HeldOutNumbers) -> np.ndarray:
    """Return all rows, (N,), those with the largest errors first."""
    errors = np.abs(held_out.predicted.astype(np.float64) - held_out.targets)
    return np.argsort(-errors, kind="stable")


def list_number_tiles(held_out: HeldOutNumbers, rows: Sequence[int] | np.ndarray) -> Iterator[Tile]:
    """Yield the pictures of some rows, with the predicted and the true number."""
    for row in rows:
        predicted, true = float(held_out.predicted[row]), float(held_out.targets[row])
        yield Tile(
            held_out.keys[row],
            format_number(predicted),
            f"off by {format_number(predicted - true, '+')}",
            f"{true:,.6g}",
            None,
            held_out.content_hash[row].tobytes(),
            held_out.root,
        )
