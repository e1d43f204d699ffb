"""What `featx predict` shows: predictions as a table, JSON lines or a file, and their counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featx.heads.kinds import Task
from featx.heads.prediction_report import Prediction
from featx.images.sources import ImageFailure
from featx.options import DecisionOptions
from featx.report.drawing import is_terminal
from featx.report.json_lines import write_predictions
from featx.report.prediction_files import list_columns, write_prediction_file
from featx.report.tables import show_predictions
from featx.units import format_count, format_share

if TYPE_CHECKING:
    from featx.heads.prediction_stream import PredictionCounts


@dataclass(frozen=True, slots=True)
class PredictionOutput:
    """Where predictions go.

    Attributes:
        path: A file; stdout when None.
        as_json: As JSON lines, not as a table.
        top: The most classes of a picture.
        decision: What else was asked for.
        task: What is predicted.
        csv_safe: Whether texts in a CSV file are written so that no spreadsheet takes one for a
            formula.
    """

    path: Path | None
    as_json: bool
    top: int
    decision: DecisionOptions
    task: Task = "single"
    csv_safe: bool = False


def write_results(
    results: Iterable[Prediction | ImageFailure], output: PredictionOutput
) -> list[ImageFailure]:
    """Write predictions as they come, and return the failures among them.

    On a terminal, where progress is drawn meanwhile, they are written at the end.
    """
    failures: list[ImageFailure] = []

    def take() -> Iterator[Prediction]:
        for result in results:
            if isinstance(result, ImageFailure):
                failures.append(result)
            else:
                yield result

    if output.path is not None:
        how = (output.top, output.decision, output.task)
        write_prediction_file(take(), output.path, *how, csv_safe=output.csv_safe)
        return failures
    predictions = list(take()) if is_terminal() else take()
    columns = list_columns(output.top, output.decision, output.task)
    if output.as_json:
        write_predictions(predictions, columns)
    else:
        show_predictions(predictions, columns)
    return failures


def describe_counts(
    counts: PredictionCounts,
    decision: DecisionOptions,
    *,
    model: str | None,
    task: Task = "single",
) -> Iterator[str]:
    """Yield what there is to say of all predictions together.

    Args:
        counts: After the last one.
        decision: What was asked for.
        model: The model, if its own classifier made them.
        task: What is predicted.
    """
    if counts.num_fitted_on:
        known = format_share(counts.num_fitted_on, counts.num_images, "image")
        they = "it says" if counts.num_fitted_on == 1 else "they say"
        yield f"the head was fitted on {known}: {they} nothing about its accuracy"
    if decision.threshold is not None and task == "single" and counts.num_images:
        unknown = format_share(counts.num_unknown, counts.num_images, "image")
        yield f"{unknown} unknown, below {decision.threshold:g}"
    if counts.accuracy is not None:
        labelled = format_count(
            counts.num_labelled, "labelled image" if model else "new labelled image"
        )
        yield f"accuracy {counts.accuracy:.4f} on the {labelled}"
