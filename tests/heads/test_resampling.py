"""Intervals by the bootstrap against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import r2_score

from featx.heads.label_evaluation import mean_average_precision
from featx.heads.number_evaluation import measure_numbers
from featx.heads.resampling import explained_interval, precision_interval


def half(interval: tuple[float, float] | None) -> float:
    assert interval is not None
    return (interval[1] - interval[0]) / 2


def scores(count: int, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, many of them equal, and which labels apply."""
    random = np.random.default_rng(3)
    truth = random.random((count, num_labels)) < 0.4
    return np.round(0.3 * truth + 0.6 * random.random(truth.shape), 1), truth


def test_a_mean_average_precision_has_the_error_of_scipy() -> None:
    probabilities, truth = scores(80, 3)
    rows = np.arange(len(truth))
    expected = bootstrap(
        (rows,),
        lambda drawn: mean_average_precision(probabilities[drawn], truth[drawn]),
        n_resamples=300,
        vectorized=False,
        method="basic",
        rng=np.random.default_rng(1),
    )
    estimate = mean_average_precision(probabilities, truth)
    received = half(precision_interval(estimate, probabilities, truth))
    assert received == pytest.approx(1.96 * expected.standard_error, rel=0.15)


def test_of_many_rows_some_give_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, truth = (np.tile(each, (8, 1)) for each in scores(500, 2))
    expected = half(precision_interval(0.5, probabilities, truth))
    monkeypatch.setattr("featx.heads.resampling.MOST_VALUES", 2_000)
    received = half(precision_interval(0.5, probabilities, truth))
    assert received == pytest.approx(expected, rel=0.15), "of 1,000 of the 4,000 rows"


def test_explained_variance_has_the_error_of_scipy() -> None:
    random = np.random.default_rng(0)
    targets = random.normal(size=120)
    predicted = targets + random.normal(size=120) / 2
    expected = bootstrap(
        (targets, predicted),
        r2_score,
        n_resamples=300,
        vectorized=False,
        paired=True,
        method="basic",
        rng=np.random.default_rng(1),
    )
    measured = measure_numbers(predicted, targets, 0.0)
    assert measured.r_squared_interval is not None
    assert half(measured.r_squared_interval) == pytest.approx(
        1.96 * expected.standard_error, rel=0.15
    )


def test_where_resamples_say_nothing_there_is_no_interval() -> None:
    truth = np.arange(40).reshape(20, 2) % 3 == 0
    assert precision_interval(1.0, truth.astype(float), truth) is None, "no mistake"
    assert precision_interval(0.5, *scores(200, 1_500)) is None, "too many labels"
    assert explained_interval(1.0, np.zeros(9), np.arange(9.0)) is None
    assert measure_numbers(np.ones(4), np.ones(4), 1.0).r_squared_interval is None
