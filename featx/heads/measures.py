"""Figures of merit, in NumPy: from true and predicted values to numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at 0.975: intervals hold 95 %."""

NUM_BINS = 15
"""Bins of equal width in which calibration is measured, as in Guo et al., "On Calibration of Modern
Neural Networks" (2017)."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions of similar confidence: of those it is sure of with 0.8, 80 % should be right.

    Attributes:
        confidence: Mean probability of the predicted classes, in [0, 1].
        accuracy: Share of them that is right.
        count: Their number, at least 1.
    """

    confidence: float
    accuracy: float
    count: int


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, by Wilson's score method.

    It keeps its promise for few examples and for shares near 0 and 1, where the textbook's
    ``p ± 1.96 s`` does not (Brown, Cai and DasGupta, "Interval Estimation for a Binomial
    Proportion", 2001). The examples are taken for independent.

    Args:
        right: How many of them are right.
        count: How many there are, at least 1.

    Example:
        >>> low, high = wilson_interval(10, 10)
        >>> round(low, 3), round(high, 3)
        (0.722, 1.0)
    """
    squared = NORMAL_QUANTILE**2
    share = right / count
    centre = (share + squared / (2 * count)) / (1 + squared / count)
    spread = share * (1 - share) / count + squared / (4 * count**2)
    half = NORMAL_QUANTILE * spread**0.5 / (1 + squared / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def calibration_bins(confidences: np.ndarray, right: np.ndarray) -> tuple[CalibrationBin, ...]:
    """Divide predictions by their confidence into `NUM_BINS` bins; empty ones are left out.

    Args:
        confidences: Probabilities of the predicted classes, (N,), in [0, 1].
        right: bool (N,).

    Example:
        >>> calibration_bins(np.array([0.9, 0.9]), np.array([True, False]))
        (CalibrationBin(confidence=0.9, accuracy=0.5, count=2),)
    """
    numbers = np.clip(np.ceil(confidences * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    counts = np.bincount(numbers, minlength=NUM_BINS)
    confident = np.bincount(numbers, weights=confidences, minlength=NUM_BINS)
    correct = np.bincount(numbers, weights=right, minlength=NUM_BINS)
    return tuple(
        CalibrationBin(float(confident[bin] / n), float(correct[bin] / n), int(n))
        for bin, n in enumerate(counts)
        if n
    )
