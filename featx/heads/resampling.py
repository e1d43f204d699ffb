"""95 % intervals of measures that have no formula for one: by the bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from featx.heads.measures import NORMAL_QUANTILE

NUM_RESAMPLES = 200
"""Times that rows are drawn anew. It is enough for a standard error (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, section 6.4); quantiles would take thousands."""

SEED = 0
"""Of the draws: the same rows have the same interval."""

MOST_VALUES = 100_000
"""Rows times labels of a resample. Of more, some of the rows give the standard error, which falls
with the square root of their number."""

LEAST_ROWS = 100
"""Fewer of these rows, as with thousands of labels, give none."""


def precision_interval(
    estimate: float, probabilities: np.ndarray, truth: np.ndarray
) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean average precision: 1.96 standard errors to both sides.

    Args:
        estimate: The mean average precision of all rows, which are taken for independent.
        probabilities: Shape (N, C).
        truth: Which labels apply, bool (N, C).

    Returns:
        None where resamples do not differ, as without a single mistake, or there are more than
        1,000 labels: they say nothing then.

    Example:
        >>> truth = np.arange(200).reshape(100, 2) % 3 == 0
        >>> probabilities = 0.3 * truth + np.arange(200).reshape(100, 2) % 7 / 10
        >>> low, high = precision_interval(0.5, probabilities, truth)
        >>> bool(low < 0.5 < high)
        True
    """
    count = len(truth)
    kept = min(count, max(1, MOST_VALUES // max(1, truth.shape[1])))
    if kept < min(count, LEAST_ROWS):
        return None
    if kept < count:
        rows = np.sort(np.random.default_rng(SEED).permutation(count)[:kept])
        probabilities, truth = probabilities[rows], truth[rows]
    order = np.argsort(-probabilities, axis=0, kind="stable")
    applies = np.take_along_axis(truth, order, axis=0)
    last = _find_last_equal(np.take_along_axis(probabilities, order, axis=0))

    def measure(counts: np.ndarray) -> float:
        drawn = counts[order]
        found = np.cumsum(drawn * applies, axis=0)
        precision = found / np.maximum(np.cumsum(drawn, axis=0), 1)
        shares = (drawn * applies * np.take_along_axis(precision, last, axis=0)).sum(axis=0)
        is_there = found[-1] > 0
        return float(np.mean(shares[is_there] / found[-1][is_there])) if is_there.any() else np.nan

    error = _standard_error(measure, kept) * (kept / count) ** 0.5
    interval = _make_interval(estimate, error)
    return None if interval is None else (max(0.0, interval[0]), interval[1])


def explained_interval(
    estimate: float, squares: np.ndarray, targets: np.ndarray
) -> tuple[float, float] | None:
    """Return the 95 % interval of a share of explained variance; see `precision_interval`.

    Args:
        estimate: The share of all rows, at most 1.
        squares: Squared errors, float64 (N,).
        targets: True numbers, float64 (N,).

    Example:
        >>> targets = np.arange(100.0)
        >>> low, high = explained_interval(0.9, 8.3 * (1 + targets % 20), targets)
        >>> bool(0.8 < low < 0.9 < high < 1)
        True
    """
    targets = targets - targets.mean()

    def measure(counts: np.ndarray) -> float:
        total = counts.sum()
        spread = float(counts @ np.square(targets)) - float(counts @ targets) ** 2 / total
        return 1 - float(counts @ squares) / spread if spread > 0 else np.nan

    return _make_interval(estimate, _standard_error(measure, len(targets)))


def bootstrap_error(measure: Callable[[np.ndarray], float], count: int) -> float:
    """Return the standard error of a measure of N rows, which takes their numbers, (N,).

    Example:
        >>> values = np.arange(100.0)
        >>> 2 < bootstrap_error(lambda rows: float(values[rows].mean()), 100) < 4
        True
    """
    return _standard_error(
        lambda counts: measure(np.repeat(np.arange(count), counts.astype(np.int64))), count
    )


def _make_interval(estimate: float, error: float) -> tuple[float, float] | None:
    """Return the normal interval of a measure that is at most 1; None without an error."""
    if error == 0:
        return None
    half = NORMAL_QUANTILE * error
    return estimate - half, min(1.0, estimate + half)


def _standard_error(measure: Callable[[np.ndarray], float], count: int) -> float:
    """Return the standard deviation of a measure of N rows that are drawn with replacement."""
    random = np.random.default_rng(SEED)
    drawn = [
        measure(np.bincount(random.integers(count, size=count), minlength=count).astype(float))
        for _ in range(NUM_RESAMPLES)
    ]
    known = [value for value in drawn if np.isfinite(value)]
    return float(np.std(known, ddof=1)) if len(known) > NUM_RESAMPLES // 2 else 0.0


def _find_last_equal(ranked: np.ndarray) -> np.ndarray:
    """Return for each place of each column (N, C) the last place of equal value."""
    places = np.arange(len(ranked))[:, np.newaxis]
    is_last = np.ones(ranked.shape, bool)
    is_last[:-1] = ranked[1:] != ranked[:-1]
    ends = np.where(is_last, places, len(ranked))
    return np.asarray(np.minimum.accumulate(ends[::-1], axis=0)[::-1])
