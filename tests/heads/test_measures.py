"""Figures of merit against scikit-learn, SciPy, and definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from featx.heads.evaluation import measure_classes
from featx.heads.measures import (
    NUM_BINS,
    average_precision,
    calibration_bins,
    calibration_error,
    f1_share,
    fold_interval,
    log_loss,
    r_squared,
    wilson_interval,
)
from featx.heads.outcomes import find_outcomes


def random_probabilities(count: int, num_classes: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    scores = np.exp(2 * random.normal(size=(count, num_classes)))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("right", "count"), [(0, 1), (1, 1), (3, 7), (133, 144), (50, 50)])
def test_interval_of_a_share(right: int, count: int) -> None:
    expected = binomtest(right, count).proportion_ci(0.95, "wilson")
    assert wilson_interval(right, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_interval_of_a_share_holds_it_in_95_of_100_experiments() -> None:
    right = np.random.default_rng(0).binomial(40, 0.9, size=4000)
    covered = [low <= 0.9 <= high for low, high in (wilson_interval(int(n), 40) for n in right)]
    assert 0.93 <= np.mean(covered) <= 0.98


def test_interval_over_folds_is_the_corrected_t_interval() -> None:
    scores = np.array([0.9, 0.92, 0.88, 0.95, 0.91])
    half = 2.7764451 * np.sqrt(scores.var(ddof=1) * (1 / 5 + 1 / 4))  # t of 4 degrees, 0.975.
    expected = (scores.mean() - half, scores.mean() + half)
    assert fold_interval(scores) == pytest.approx(expected, abs=1e-7)
    assert fold_interval(np.array([0.7, 0.7])) == pytest.approx((0.7, 0.7))


def test_folds_that_agree_do_not_make_an_accuracy_certain() -> None:
    probabilities = np.tile(np.float32([0.9, 0.1]), (12, 1))
    evaluation = measure_classes(probabilities, np.zeros(12, int), ("a", "b"))
    over = evaluation.over_folds(np.ones(3))
    assert over.interval == wilson_interval(12, 12)
    spread = evaluation.over_folds(np.array([0.2, 0.9, 1.0]))
    assert spread.interval == (0.0, 1.0)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k(k: int) -> None:
    probabilities = random_probabilities(200, 7, seed=1)
    targets = np.random.default_rng(2).integers(7, size=200)
    expected = metrics.top_k_accuracy_score(targets, probabilities, k=k, labels=range(7))
    found = find_outcomes(probabilities, targets)
    assert (found.place < k).mean() == pytest.approx(expected)
    assert (found.right == (found.place == 0)).all()


def test_top_k_agrees_with_the_class_that_is_predicted_among_equals() -> None:
    equal = np.full((3, 3), 1 / 3)
    found = find_outcomes(equal, np.array([0, 1, 2]))
    assert found.predicted.tolist() == [0, 0, 0]
    assert found.place.tolist() == [0, 1, 2]


def test_log_loss() -> None:
    probabilities = random_probabilities(200, 5, seed=3).astype(np.float32)
    probabilities[0] = [0, 0, 1, 0, 0]
    targets = np.random.default_rng(4).integers(5, size=200)
    targets[0] = 1  # A certain mistake.
    expected = metrics.log_loss(targets, probabilities, labels=range(5))
    assert log_loss(probabilities, targets) == pytest.approx(expected, rel=1e-5)


def test_calibration_error_by_its_definition() -> None:
    random = np.random.default_rng(5)
    confidences = np.append(random.uniform(0, 1, 500), [0.0, 1.0, 0.2])
    right = random.uniform(size=503) < confidences**2
    bins = calibration_bins(confidences, right)
    expected = 0.0
    for bin in range(NUM_BINS):
        low, high = bin / NUM_BINS, (bin + 1) / NUM_BINS
        inside = (confidences > low) & (confidences <= high)
        if bin == 0:
            inside |= confidences == 0
        if inside.any():
            gap = abs(right[inside].mean() - confidences[inside].mean())
            expected += inside.mean() * gap
    assert calibration_error(bins) == pytest.approx(expected, abs=1e-12)
    assert sum(bin.count for bin in bins) == 503


def test_average_precision_with_equal_scores() -> None:
    random = np.random.default_rng(6)
    truth = random.uniform(size=300) < 0.2
    for scores in (random.normal(size=300), random.integers(5, size=300) / 5):
        expected = metrics.average_precision_score(truth, scores)
        assert average_precision(scores, truth) == pytest.approx(expected)


def test_f1_and_r_squared() -> None:
    random = np.random.default_rng(7)
    truth, predicted = random.integers(2, size=(2, 50)).astype(bool)
    right = np.array([(truth & predicted).sum()])
    ours = f1_share(right, np.array([predicted.sum()]), np.array([truth.sum()]))
    assert ours[0] == pytest.approx(metrics.f1_score(truth, predicted))
    values, guesses = random.normal(size=(2, 50))
    assert r_squared(guesses, values) == pytest.approx(metrics.r2_score(values, guesses))
    assert r_squared(guesses, np.ones(50)) is None
