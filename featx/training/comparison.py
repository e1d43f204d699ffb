"""Two predictors compared on the same pictures: how much better is one of them?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.heads.held_out import AnyHeldOut, HeldOut, HeldOutLabels, HeldOutNumbers
from featx.heads.label_evaluation import mean_average_precision
from featx.heads.measures import NORMAL_QUANTILE
from featx.heads.resampling import bootstrap_error

ACCURACY, PRECISION, ERROR = "accuracy", "mean average precision", "mean absolute error"
"""What predictors are compared by, by the task."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two predictors said of the same N pictures.

    Attributes:
        count: N, at least 1.
        before: What the first one is worth: accuracy, mean average precision of several labels, or
            mean absolute error of a number.
        after: The same of the second one.
        interval: 95 % interval of `gain`. Of accuracies it is Tango's score interval of a
            difference of paired proportions ("Equivalence test and confidence interval for the
            difference in proportions for the paired-sample design", Statistics in Medicine, 1998),
            of errors the normal one of the mean of paired differences; of mean average precisions
            1.96 standard errors to both sides, by the bootstrap over pictures.
        num_gained: Pictures that the second one predicts better: that it alone gets right, with
            fewer wrong labels, or a smaller error.
        num_lost: Pictures that the first one predicts better.
        p_value: Of the exact sign test: how probable so uneven numbers of these two are, or more
            uneven ones, if both are equally good. Of right and wrong answers it is McNemar's exact
            test.
        figure: ``accuracy``, ``mean average precision`` or ``mean absolute error``.
    """

    count: int
    before: float
    after: float
    interval: tuple[float, float]
    num_gained: int
    num_lost: int
    p_value: float
    figure: str = ACCURACY

    @property
    def gain(self) -> float:
        """How much better the second one is: above 0 for a larger share, or a smaller error."""
        if self.figure == ACCURACY:
            return (self.num_gained - self.num_lost) / self.count
        return self.before - self.after if self.figure == ERROR else self.after - self.before


def compare_predictions(before: AnyHeldOut, after: AnyHeldOut) -> Comparison:
    """Compare what two predictors said of the same pictures, by the task."""
    if isinstance(before, HeldOut) and isinstance(after, HeldOut):
        return compare_paired(before.right, after.right)
    if isinstance(before, HeldOutNumbers) and isinstance(after, HeldOutNumbers):
        old, new = (np.abs(one.predicted - one.targets) for one in (before, after))
        differences = old - new
        spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
        error = spread / len(differences) ** 0.5
        figures = float(old.mean()), float(new.mean())
        return _compare(ERROR, figures, error, np.sign(differences))
    assert isinstance(before, HeldOutLabels)
    assert isinstance(after, HeldOutLabels)
    wrong, now = ((one.predicted != one.targets).sum(axis=1) for one in (before, after))
    old_precision, new_precision = (
        mean_average_precision(one.probabilities, one.targets) for one in (before, after)
    )

    def gain(rows: np.ndarray) -> float:
        truth = before.targets[rows]
        return mean_average_precision(after.probabilities[rows], truth) - mean_average_precision(
            before.probabilities[rows], truth
        )

    error = bootstrap_error(gain, len(wrong))
    return _compare(PRECISION, (old_precision, new_precision), error, np.sign(wrong - now))


def _compare(
    figure: str, figures: tuple[float, float], error: float, signs: np.ndarray
) -> Comparison:
    """Return a comparison from both figures, the standard error of the gain, and who was better."""
    before, after = figures
    gain = before - after if figure == ERROR else after - before
    half = NORMAL_QUANTILE * error
    gained, lost = int((signs > 0).sum()), int((signs < 0).sum())
    interval = gain - half, gain + half
    return Comparison(
        len(signs), before, after, interval, gained, lost, sign_test(gained, lost), figure
    )


def sign_test(gained: int, lost: int) -> float:
    """Return the p-value of the exact sign test: 1 where there is nothing to count."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def compare_paired(before: np.ndarray, after: np.ndarray) -> Comparison:
    """Compare two classifiers of one class by the pictures that each gets right.

    Args:
        before: Whether the first one is right, bool (N,), N at least 1.
        after: The same of the second one.

    Example:
        >>> found = compare_paired(np.arange(100) < 80, np.arange(100) < 90)
        >>> found.gain, [round(end, 3) for end in found.interval], round(found.p_value, 4)
        (0.1, [0.055, 0.174], 0.002)
    """
    gained = int((after & ~before).sum())
    lost = int((before & ~after).sum())
    return Comparison(
        count=len(before),
        before=float(before.mean()),
        after=float(after.mean()),
        interval=tango_interval(gained, lost, len(before)),
        num_gained=gained,
        num_lost=lost,
        p_value=sign_test(gained, lost),
    )


def tango_interval(gained: int, lost: int, count: int) -> tuple[float, float]:
    """Return Tango's 95 % interval of ``(gained - lost) / count``; see `Comparison`.

    The ends are the differences at which the score statistic is the normal quantile.

    Args:
        gained: Pairs of which only the second is right.
        lost: Pairs of which only the first is right.
        count: Pairs, at least 1.

    Example:
        >>> [round(end, 3) for end in tango_interval(0, 0, 50)]
        [-0.071, 0.071]
    """
    from scipy.optimize import brentq

    difference = (gained - lost) / count

    def score(delta: float) -> float:
        """Return the standardised distance of the observed difference from `delta`."""
        linear = -gained - lost + (2 * count - gained + lost) * delta
        constant = -lost * delta * (1 - delta)
        root = np.sqrt(max(linear**2 - 8 * count * constant, 0.0))
        # The share of lost pairs that is most likely if the difference is `delta`.
        share = (root - linear) / (4 * count)
        variance = count * (2 * share + delta * (1 - delta))
        if variance <= 0:
            return 0.0
        return float((gained - lost - count * delta) / np.sqrt(variance))

    edge = 1 - 1e-9

    def find(limit: float, inner: float, outer: float) -> float:
        if (score(outer) - limit) * (score(inner) - limit) > 0:
            return round(outer)
        return float(brentq(lambda delta: score(delta) - limit, inner, outer))

    return (
        find(NORMAL_QUANTILE, min(difference, edge), -edge),
        find(-NORMAL_QUANTILE, max(difference, -edge), edge),
    )
