"""Measures of a classifier on labelled rows that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.heads.measures import (
    CalibrationBin,
    calibration_bins,
    calibration_error,
    f1_share,
    fold_interval,
    mean_log,
    wilson_interval,
)
from featx.heads.outcomes import Outcomes, find_outcomes
from featx.shown import Shown

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

FEW = 10
"""Held-out examples of a class, below which its figures say little: the 95 % interval of a recall
of 0.5 then reaches from 0.24 or less to 0.76 or more."""

TOP = 5
"""Of ``top5``."""


@dataclass(frozen=True, slots=True)
class ClassReport:
    """Measures of one class, in [0, 1]; `support` is its number of held-out examples."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What probabilities are worth after temperature scaling, on rows that did not choose it.

    Attributes:
        temperature: By which logits are divided; above 1 where a head is too sure of itself.
        log_loss: As for `Evaluation`, with it.
        calibration_error: As for `Evaluation`, with it.
        used: Whether the saved head predicts with it: if it lowers the log loss.
    """

    temperature: float
    log_loss: float
    calibration_error: float
    used: bool


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Shown):
    """Measures over all held-out rows, and of each class.

    Attributes:
        accuracy: Share of rows whose most probable class is right; the mean over the folds of a
            cross-validation.
        interval: Its 95 % interval: `featx.heads.measures.wilson_interval`; for a cross-validation
            it also holds `featx.heads.measures.fold_interval`.
        top5: Share of rows whose class is among the five most probable; None for up to five
            classes.
        macro_f1: Mean F1 of the classes: small classes count as much as large ones.
        log_loss: Mean of ``-log(p)``, p the probability of the true class.
        calibration_error: Expected calibration error: how far confidence is from accuracy, on
            average over 15 bins of equal width.
        num_examples: Number of held-out rows.
        classes: One report for each class.
        confusions: ``(true, predicted, count)`` of wrong predictions, most frequent first.
        few: Classes with held-out rows, but fewer than 10: their figures say little.
        calibration: The bins.
        calibrated: The same after temperature scaling; None where there are too few rows for it.
        folds: Accuracy on each fold of a cross-validation.
    """

    accuracy: float
    interval: tuple[float, float]
    top5: float | None
    macro_f1: float
    log_loss: float
    calibration_error: float
    num_examples: int
    classes: tuple[ClassReport, ...]
    confusions: tuple[tuple[str, str, int], ...]
    few: tuple[str, ...]
    calibration: tuple[CalibrationBin, ...]
    calibrated: Calibrated | None = None
    folds: tuple[float, ...] = ()

    def over_folds(self, scores: np.ndarray) -> Evaluation:
        """Return it with the accuracies of K folds, at least two, and their mean and interval.

        Folds may agree by chance, or because all are without a mistake: the interval is not
        narrower than that of as many rows.
        """
        low, high = fold_interval(scores)
        least, most = self.interval
        return replace(
            self,
            accuracy=float(scores.mean()),
            interval=(max(0.0, min(low, least)), min(1.0, max(high, most))),
            folds=tuple(scores.tolist()),
        )

    def plot(self) -> PillowImage:
        """Draw the confusion matrix: a row for each true class, a column for each predicted one.

        Of more than 30 classes those are drawn that are most often taken for others.

        Returns:
            A Pillow image, which a notebook shows; ``plot().save("confusions.png")`` keeps it.
        """
        from featx.report.confusion_matrix import draw_confusion_matrix

        return draw_confusion_matrix(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def measure_classes(
    probabilities: np.ndarray, targets: np.ndarray, names: tuple[str, ...]
) -> Evaluation:
    """Compare class probabilities with true class numbers.

    Precision is the share of right predictions among those of a class, recall the share of a
    class's rows that were predicted, F1 their harmonic mean; 0 where there are no such rows.

    Args:
        probabilities: Shape (N, C), N at least 1. Of equally probable classes, the first counts.
        targets: True class numbers, (N,).
        names: C class names.

    Example:
        >>> probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.2, 0.8]])
        >>> measure_classes(probabilities, np.array([0, 0, 1, 1]), ("cat", "dog")).accuracy
        0.75
    """
    return measure_outcomes(find_outcomes(probabilities, targets), names)


def measure_outcomes(outcomes: Outcomes, names: tuple[str, ...]) -> Evaluation:
    """Return the figures of at least one row, of which not all probabilities are needed."""
    is_right, targets = outcomes.right, outcomes.targets
    bins = calibration_bins(outcomes.confidence, is_right)
    classes = _report_classes(targets, outcomes.predicted, names)
    measured = [one.f1 for one in classes if one.support]
    return Evaluation(
        accuracy=float(is_right.mean()),
        interval=wilson_interval(int(is_right.sum()), len(targets)),
        top5=float((outcomes.place < TOP).mean()) if len(names) > TOP else None,
        macro_f1=float(np.mean(measured)),
        log_loss=mean_log(outcomes.own),
        calibration_error=calibration_error(bins),
        num_examples=len(targets),
        classes=classes,
        confusions=_list_confusions(targets, outcomes.predicted, names),
        few=tuple(one.name for one in classes if 0 < one.support < FEW),
        calibration=bins,
    )


def _report_classes(
    targets: np.ndarray, predicted: np.ndarray, names: tuple[str, ...]
) -> tuple[ClassReport, ...]:
    count = len(names)
    right = np.bincount(targets[predicted == targets], minlength=count)
    support, named = (np.bincount(numbers, minlength=count) for numbers in (targets, predicted))
    columns = (
        right / np.maximum(named, 1),
        right / np.maximum(support, 1),
        f1_share(right, named, support),
    )
    return tuple(
        ClassReport(name, float(p), float(r), float(f), int(s))
        for name, p, r, f, s in zip(names, *columns, support, strict=True)
    )


def _list_confusions(
    targets: np.ndarray, predicted: np.ndarray, names: tuple[str, ...]
) -> tuple[tuple[str, str, int], ...]:
    wrong = predicted != targets
    pairs, counts = np.unique(
        np.stack([targets[wrong], predicted[wrong]]), axis=1, return_counts=True
    )
    confusions = [
        (names[true], names[other], int(count))
        for true, other, count in zip(*pairs, counts, strict=True)
    ]
    return tuple(sorted(confusions, key=lambda item: (-item[2], item[0], item[1])))
