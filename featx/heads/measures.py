"""Figures of merit, in NumPy: from true and predicted values to numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NORMAL_QUANTILE = 1.959963984540054
"""Of the standard normal distribution at 0.975: intervals hold 95 %."""

LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""A probability below it counts as this much in `log_loss`, as in scikit-learn for float32: a
single certain mistake would make the mean infinite."""

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


def fold_interval(scores: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean over the K folds of a cross-validation.

    Student's t with K - 1 degrees of freedom. Folds share most of what they were fitted on, so
    that their spread is smaller than that of independent experiments. It is corrected as Nadeau and
    Bengio propose ("Inference for the Generalization Error", 2003): 1/K becomes 1/K + 1/(K - 1).
    The scores of folds are taken for normally distributed.

    Args:
        scores: Of each fold, (K,), K at least 2.

    Example:
        >>> low, high = fold_interval(np.array([0.8, 0.9, 0.85]))
        >>> round(low, 3), round(high, 3)
        (0.654, 1.046)
    """
    from scipy.stats import t as student

    count = len(scores)
    variance = float(np.var(scores, ddof=1)) * (1 / count + 1 / (count - 1))
    half = float(student.ppf(0.975, count - 1)) * variance**0.5
    mean = float(np.mean(scores))
    return mean - half, mean + half


def log_loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean of ``-log(p)``, p the probability of the true class.

    Args:
        probabilities: Shape (N, C), N at least 1; each at least `LEAST_PROBABILITY`, or taken so.
        targets: Class numbers, (N,).

    Example:
        >>> round(log_loss(np.array([[0.5, 0.5], [0.1, 0.9]]), np.array([0, 1])), 4)
        0.3993
    """
    return mean_log(probabilities[np.arange(len(targets)), targets])


def mean_log(own: np.ndarray) -> float:
    """Return the same of the probabilities of the true classes, (N,)."""
    limited = np.clip(own.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return float(-np.log(limited).mean())


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


def calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Return the expected calibration error: the mean distance of accuracy and confidence.

    Example:
        >>> round(calibration_error((CalibrationBin(0.9, 0.5, 2), CalibrationBin(1.0, 1.0, 6))), 3)
        0.1
    """
    total = sum(bin.count for bin in bins)
    return sum(bin.count * abs(bin.accuracy - bin.confidence) for bin in bins) / max(total, 1)


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return the average precision of a ranking: ``sum((R_n - R_{n-1}) P_n)`` over thresholds.

    Rows of equal score are one threshold, so that their order does not count.

    Args:
        scores: Shape (N,).
        truth: bool (N,), at least one of them true.

    Example:
        >>> round(average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True])), 4)
        0.8333
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # Of the rows of equal score.
    found = np.cumsum(truth[order])[last]
    shown = np.flatnonzero(last) + 1
    gained = np.diff(found, prepend=0)
    return float((gained * found / shown).sum() / found[-1])


def f1_share(right: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return F1, the harmonic mean of precision and recall, from numbers; 0 where there are none.

    Example:
        >>> f1_share(np.array([1, 0]), np.array([2, 0]), np.array([2, 0])).tolist()
        [0.5, 0.0]
    """
    return np.asarray(2 * right / np.maximum(predicted + true, 1))


def r_squared(predicted: np.ndarray, targets: np.ndarray) -> float | None:
    """Return the share of the targets' variance that is explained; None if they are all equal.

    1 is perfect; 0 is as good as predicting their mean for every row; below that is worse.

    Example:
        >>> r_squared(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
        0.5
    """
    spread = float(np.square(targets - targets.mean()).sum())
    if spread == 0:
        return None
    return 1 - float(np.square(targets - predicted).sum()) / spread
