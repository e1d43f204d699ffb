"""What `predict` gives: classes of images, failures, and accuracy where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from featx.images.sources import ImageFailure, ImageItem
from featx.shown import Shown


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
