"""Measures of a head that predicts a number, on rows that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from featx.heads.measures import NORMAL_QUANTILE, fold_interval, r_squared
from featx.heads.resampling import explained_interval
from featx.shown import Shown


@dataclass(frozen=True, slots=True, repr=False)
class NumberEvaluation(Shown):
    """Measures over all held-out rows, in the unit of the numbers but for `r_squared`.

    Attributes:
        r_squared: Share of the numbers' variance that is explained: 1 is perfect, 0 as good as
            their mean; None where they are all equal.
        r_squared_interval: Its 95 % interval, by `featx.heads.resampling.bootstrap_interval`; None
            without `r_squared`, and where no resample differs.
        mae: Mean absolute error; the mean over the folds of a cross-validation.
        interval: Its 95 % interval: the normal one of a mean, for a cross-validation
            `featx.heads.measures.fold_interval`.
        rmse: Root of the mean squared error.
        baseline_mae: Mean absolute error of saying the mean of the rows fitted on of every row; of
            `featx.evaluate`, the mean of the rows measured on.
        num_examples: Number of held-out rows.
        folds: Mean absolute error on each fold of a cross-validation.
    """

    r_squared: float | None
    mae: float
    interval: tuple[float, float]
    rmse: float
    baseline_mae: float
    num_examples: int
    folds: tuple[float, ...] = ()
    r_squared_interval: tuple[float, float] | None = None

    def over_folds(self, scores: np.ndarray) -> NumberEvaluation:
        """Return it with the errors of K folds, at least two, their mean and its interval."""
        low, high = fold_interval(scores)
        mean = float(scores.mean())
        return replace(
            self, mae=mean, interval=(max(0.0, low), high), folds=tuple(scores.tolist())
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


def measure_numbers(
    predicted: np.ndarray, targets: np.ndarray, baseline: np.ndarray | float
) -> NumberEvaluation:
    """Compare predicted with true numbers.

    Args:
        predicted: Shape (N,), N at least 1.
        targets: True numbers, (N,).
        baseline: What would be said without looking at the pictures, (N,) or one number.

    Example:
        >>> found = measure_numbers(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]), 2.0)
        >>> found.r_squared, round(found.mae, 3), round(found.baseline_mae, 3)
        (0.5, 0.333, 0.667)
    """
    predicted = predicted.astype(np.float64)
    errors = np.abs(predicted - targets)
    mae = float(errors.mean())
    spread = float(errors.std(ddof=1)) if len(errors) > 1 else 0.0
    half = NORMAL_QUANTILE * spread / len(errors) ** 0.5
    explained = r_squared(predicted, targets)
    return NumberEvaluation(
        r_squared=explained,
        mae=mae,
        interval=(max(0.0, mae - half), mae + half),
        rmse=float(np.square(errors).mean() ** 0.5),
        baseline_mae=float(np.abs(baseline - targets).mean()),
        num_examples=len(errors),
        r_squared_interval=(
            None
            if explained is None
            else explained_interval(explained, np.square(errors), np.asarray(targets, float))
        ),
    )
