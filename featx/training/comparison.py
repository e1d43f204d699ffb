"""Two classifiers compared on the same pictures: how many more does one of them get right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.heads.measures import NORMAL_QUANTILE


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two classifiers said of the same N pictures.

    Attributes:
        count: N, at least 1.
        before: Share that the first one gets right, in [0, 1].
        after: The same of the second one.
        interval: 95 % interval of `gain`: Tango's score interval of a difference of paired
            proportions ("Equivalence test and confidence interval for the difference in proportions
            for the paired-sample design", Statistics in Medicine, 1998).
        num_gained: Pictures that only the second one gets right.
        num_lost: Pictures that only the first one gets right.
        p_value: Of McNemar's exact test: how probable so uneven numbers of these two are, or more
            uneven ones, if both classifiers are equally good.
    """

    count: int
    before: float
    after: float
    interval: tuple[float, float]
    num_gained: int
    num_lost: int
    p_value: float

    @property
    def gain(self) -> float:
        """How much larger the share of the second one is, in [-1, 1]."""
        return (self.num_gained - self.num_lost) / self.count


def compare_paired(before: np.ndarray, after: np.ndarray) -> Comparison:
    """Compare two classifiers by the pictures that each gets right.

    Args:
        before: Whether the first one is right, bool (N,), N at least 1.
        after: The same of the second one.

    Example:
        >>> found = compare_paired(np.arange(100) < 80, np.arange(100) < 90)
        >>> found.gain, [round(end, 3) for end in found.interval], round(found.p_value, 4)
        (0.1, [0.055, 0.174], 0.002)
    """
    from scipy.stats import binomtest

    gained = int((after & ~before).sum())
    lost = int((before & ~after).sum())
    test = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return Comparison(
        count=len(before),
        before=float(before.mean()),
        after=float(after.mean()),
        interval=tango_interval(gained, lost, len(before)),
        num_gained=gained,
        num_lost=lost,
        p_value=float(test),
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
