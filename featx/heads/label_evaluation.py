"""Measures of a head with several labels for each picture, on rows that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from featx.heads.evaluation import FEW
from featx.heads.measures import LEAST_PROBABILITY, average_precision, f1_share, fold_interval
from featx.heads.resampling import precision_interval
from featx.shown import Shown

LEAST_POSITIVES = 5
"""Rows with a label from which its threshold is chosen: fewer say little."""

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class LabelReport:
    """Measures of one label, in [0, 1].

    Attributes:
        name: The label.
        average_precision: Of the rows in the order of its probability; None where it applies to
            none of them.
        precision: Share of the rows it was predicted for to which it applies.
        recall: Share of the rows to which it applies that it was predicted for.
        f1: Their harmonic mean.
        threshold: Probability from which the saved head says that it applies.
        support: Number of held-out rows to which it applies.
    """

    name: str
    average_precision: float | None
    precision: float
    recall: float
    f1: float
    threshold: float
    support: int


@dataclass(frozen=True, slots=True, repr=False)
class LabelEvaluation(Shown):
    """Measures over all held-out rows, and of each label.

    Precision, recall and F1 are measured with thresholds that other rows chose; see
    `featx.heads.judging`.

    Attributes:
        mean_average_precision: Mean over the labels that apply to a row at all (mAP); the mean
            over the folds of a cross-validation.
        interval: Its 95 % interval, by `featx.heads.resampling.precision_interval`; for a
            cross-validation, by `featx.heads.measures.fold_interval`. None where no resample
            differs, as without a single mistake, and with more than 1,000 labels.
        micro_f1: F1 over all pairs of a row and a label.
        macro_f1: Mean F1 of the labels that apply to a row: rare ones count as much as frequent
            ones.
        exact: Share of the rows all of whose labels are right.
        log_loss: Mean of ``-log(p)`` over rows and labels, p the probability of what is true.
        num_examples: Number of held-out rows.
        classes: One report for each label.
        few: Labels that apply to some held-out rows, but fewer than 10: their figures say little.
        folds: mAP on each fold of a cross-validation.
    """

    mean_average_precision: float
    interval: tuple[float, float] | None
    micro_f1: float
    macro_f1: float
    exact: float
    log_loss: float
    num_examples: int
    classes: tuple[LabelReport, ...]
    few: tuple[str, ...]
    folds: tuple[float, ...] = ()

    def over_folds(self, scores: np.ndarray) -> LabelEvaluation:
        """Return it with the mAP of K folds, at least two, their mean and its interval."""
        low, high = fold_interval(scores)
        return replace(
            self,
            mean_average_precision=float(scores.mean()),
            interval=(max(0.0, low), min(1.0, high)),
            folds=tuple(scores.tolist()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def measure_labels(
    probabilities: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    names: Sequence[str],
    thresholds: np.ndarray,
) -> LabelEvaluation:
    """Compare what was predicted of N rows with what is true.

    Args:
        probabilities: Shape (N, C), N at least 1.
        truth: Which labels apply, bool (N, C).
        predicted: Which were said to apply, bool (N, C).
        names: C names.
        thresholds: Those of the saved head, (C,).

    Example:
        >>> truth = np.array([[True, False], [True, True]])
        >>> probabilities = np.array([[0.9, 0.2], [0.6, 0.7]])
        >>> found = measure_labels(
        ...     probabilities, truth, probabilities > 0.5, ("a", "b"), np.array([0.5, 0.5])
        ... )
        >>> found.mean_average_precision, found.micro_f1, found.exact
        (1.0, 1.0, 1.0)
    """
    right, shown, true = (
        each.sum(axis=0) for each in (predicted & truth, predicted, truth)
    )  # fmt: skip
    f1 = f1_share(right, shown, true)
    classes = tuple(
        LabelReport(
            name=name,
            average_precision=(
                average_precision(probabilities[:, number], truth[:, number])
                if true[number]
                else None
            ),
            precision=float(right[number] / max(shown[number], 1)),
            recall=float(right[number] / max(true[number], 1)),
            f1=float(f1[number]),
            threshold=float(thresholds[number]),
            support=int(true[number]),
        )
        for number, name in enumerate(names)
    )
    measured = [one.f1 for one in classes if one.support]
    own = np.where(truth, probabilities, 1 - probabilities.astype(np.float64))
    precision = mean_average_precision(probabilities, truth)
    return LabelEvaluation(
        mean_average_precision=precision,
        interval=precision_interval(precision, probabilities, truth),
        micro_f1=float(f1_share(right.sum(), shown.sum(), true.sum())),
        macro_f1=float(np.mean(measured)) if measured else 0.0,
        exact=float((predicted == truth).all(axis=1).mean()),
        log_loss=abs(float(np.log(np.maximum(own, LEAST_PROBABILITY)).mean())),
        num_examples=len(truth),
        classes=classes,
        few=tuple(one.name for one in classes if 0 < one.support < FEW),
    )


def mean_average_precision(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean average precision over the labels that apply to a row; 0 if none does.

    Args:
        probabilities: Shape (N, C).
        truth: Which labels apply, bool (N, C).

    Example:
        >>> mean_average_precision(np.array([[0.9, 0.1], [0.2, 0.3]]), np.eye(2, dtype=bool))
        1.0
    """
    found = [
        average_precision(probabilities[:, number], truth[:, number])
        for number in np.flatnonzero(truth.any(axis=0))
    ]
    return float(np.mean(found)) if found else 0.0


def choose_thresholds(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return for each label the probability from which saying that it applies gives the best F1.

    It lies in the middle between two probabilities that occur. 0.5 for labels that apply to fewer
    than 5 rows.

    Args:
        probabilities: Shape (N, C).
        truth: Which labels apply, bool (N, C).

    Example:
        >>> probabilities = np.repeat([[0.5], [0.25]], 5, axis=0)
        >>> choose_thresholds(probabilities, probabilities == 0.5).tolist()
        [0.375]
    """
    return np.array(
        [
            _choose_threshold(probabilities[:, number].astype(np.float64), truth[:, number])
            for number in range(truth.shape[1])
        ]
    )


def _choose_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    if truth.sum() < LEAST_POSITIVES:
        return DEFAULT_THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # Of equal probability.
    f1 = f1_share(np.cumsum(truth[order])[last], last + 1, truth.sum())
    levels = np.append(ranked[last], 0.0)
    best = int(f1.argmax())
    return float((levels[best] + levels[best + 1]) / 2)
