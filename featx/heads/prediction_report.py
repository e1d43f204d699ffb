"""What `predict` gives: classes of images, failures, and accuracy where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from featx.checks.libraries import require_library
from featx.heads.kinds import Task
from featx.images.sources import ImageFailure, ImageItem
from featx.options import DecisionOptions
from featx.shown import Shown

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True, repr=False)
class Prediction(Shown):
    """The most probable classes of one image, or its number.

    Attributes:
        path: The image.
        label: Its label: the class folder, or what its source says; None where there is none.
        classes: The best classes, most probable first; none where a number is predicted.
        probabilities: Their probabilities, in [0, 1]; those of a model with a sigmoid for each
            class are independent, and need not sum to 1 over all classes.
        is_unknown: Whether the first probability is below the threshold that was asked for.
        candidates: With a coverage, the classes one of which is the true one, most probable first.
        novelty: If it was asked for, how unlike the pictures that the head was fitted on this one
            is: the share of pictures held out then that are less unlike, in [0, 1].
        labels: Of a head of several labels: those that apply, most probable first, with their
            probabilities.
        number: Of a head that predicts one.
    """

    path: str
    label: str | None
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    is_unknown: bool = False
    candidates: tuple[str, ...] | None = None
    novelty: float | None = None
    labels: dict[str, float] | None = field(default=None, hash=False)
    number: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PredictReport(Shown):
    """Predictions in natural order of the images, failures, and accuracy where known.

    Attributes:
        predictions: One for each image that could be used.
        failures: The others, with the reason.
        num_labelled: Images whose label is the name of a class, without those that a head was
            fitted on.
        num_fitted_on: Images that the head was fitted on (the same bytes); 0 for a model's own
            classifier, whose training images are not known.
        accuracy: Share of the labelled ones whose first prediction is right; None if there
            are none.
        num_unknown: Images whose first probability is below the threshold.
    """

    predictions: tuple[Prediction, ...]
    failures: tuple[ImageFailure, ...]
    num_labelled: int
    num_fitted_on: int
    accuracy: float | None
    num_unknown: int = 0

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame of pandas with a row for each image that could be used.

        Its columns are those of ``featx predict -o FILE``: path, label, class and probability, of
        further classes class_2, probability_2 and so on; of several labels: labels and
        probabilities; of a number: number; and unknown, candidates and novelty, where the report
        has them.

        Raises:
            LibraryMissing: If pandas is not installed.
        """
        library = require_library("pandas", "to_pandas")
        from featx.report.prediction_files import list_columns, make_row

        shown = self.predictions
        decision = DecisionOptions(
            threshold=0.0 if self.num_unknown else None,
            coverage=0.5 if any(one.candidates is not None for one in shown) else None,
            novelty=any(one.novelty is not None for one in shown),
        )
        is_multi = any(one.labels is not None for one in shown)
        has_number = any(one.number is not None for one in shown)
        task: Task = "multi" if is_multi else "regression" if has_number else "single"
        columns = list_columns(max((len(one.classes) for one in shown), default=1), decision, task)
        rows = [make_row(one, columns) | {"path": one.path} for one in shown]
        return library.DataFrame(rows, columns=columns)


def rank_classes(
    items: Sequence[ImageItem], probabilities: np.ndarray, classes: Sequence[str], top: int
) -> tuple[tuple[Prediction, ...], np.ndarray]:
    """Choose the most probable classes of each image.

    Args:
        items: N images.
        probabilities: Shape (N, C).
        classes: C names.
        top: The most classes to name for each image.

    Returns:
        The predictions, and the number of the best class of each image, shape (N,). Of equally
        probable classes, the first comes first.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    predictions = tuple(
        Prediction(
            path=item.location,
            label=item.label,
            classes=tuple(classes[number] for number in best),
            probabilities=tuple(float(row[number]) for number in best),
        )
        for item, row, best in zip(items, probabilities, order, strict=True)
    )
    return predictions, order[:, 0]
