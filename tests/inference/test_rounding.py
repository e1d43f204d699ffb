"""Weights rounded to bfloat16: to the nearest, at the best scale, by their effect."""

from __future__ import annotations

import numpy as np
import pytest

from featx.engines.rounding import (
    correlate_window,
    damp,
    round_by_effect,
    round_weights,
    to_bfloat16,
)


def test_rounding_is_that_of_the_reference() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    random = np.random.default_rng(0)
    values = (random.normal(size=9999) * 10.0 ** random.integers(-30, 30, 9999)).astype(np.float32)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0, -0.0], np.float32)
    values = np.concatenate([values, ties])
    np.testing.assert_array_equal(
        to_bfloat16(values), values.astype(ml_dtypes.bfloat16).astype(np.float32)
    )


def test_scaled_rows_lose_less_than_rounded_ones() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 9)).astype(np.float32)
    rows[5] = 0
    rounded, scales = round_weights(rows)
    np.testing.assert_array_equal(to_bfloat16(rounded), rounded)
    before = np.square(to_bfloat16(rows) - rows).sum(axis=1)
    after = np.square(rounded * scales[:, None] - rows).sum(axis=1)
    assert np.all(after <= before * (1 + 1e-6))
    assert after.sum() < 0.5 * before.sum()
    assert not rounded[5].any()


def test_tiny_weights_are_not_lost() -> None:
    rows = np.array([[1e-25, 3e-25, -2.7e-25]], np.float32)
    rounded, scales = round_weights(rows)
    np.testing.assert_allclose(rounded * scales[:, None], rows, rtol=0.01)


# ---- by their effect ----


def make_covariance(size: int, num_samples: int = 400, seed: int = 1) -> np.ndarray:
    """The covariance of inputs of which some are much alike."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(num_samples, size)) @ random.normal(size=(size, size))
    return np.asarray(np.cov(inputs, rowvar=False)).reshape(size, size)


def effect(lost: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    return np.asarray(((lost @ covariance) * lost).sum(axis=1))


@pytest.mark.parametrize("size", [1, 2, 9, 60])
@pytest.mark.parametrize("num_samples", [3, 400])
def test_no_row_loses_more_than_by_rounding_to_the_nearest(size: int, num_samples: int) -> None:
    covariance = damp(make_covariance(size, num_samples))
    rows = np.random.default_rng(size).normal(size=(50, size)).astype(np.float32)
    rounded = round_by_effect(rows, covariance)
    np.testing.assert_array_equal(to_bfloat16(rounded), rounded)
    before = effect(rows.astype(np.float64) - to_bfloat16(rows), covariance)
    after = effect(rows.astype(np.float64) - rounded, covariance)
    assert np.all(after <= before * (1 + 1e-9))
    if size == 60:
        assert after.sum() < 0.7 * before.sum()


def test_columns_make_up_for_each_other_as_in_the_textbook() -> None:
    """GPTQ as it was published: with the inverse of the covariance, one row at a time."""
    covariance = damp(make_covariance(7))
    rows = np.random.default_rng(3).normal(size=(20, 7)).astype(np.float32)
    expected = np.stack([gptq(row, covariance) for row in rows])
    received = round_by_effect(rows, covariance)
    nearest = to_bfloat16(rows)
    is_better = effect(rows - expected, covariance) <= effect(rows - nearest, covariance)
    assert is_better.sum() > 5
    np.testing.assert_array_equal(received, np.where(is_better[:, None], expected, nearest))


def gptq(row: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    left = row.astype(np.float64)
    rounded = np.zeros(len(row), np.float32)
    for column in reversed(range(len(row))):
        inverse = np.linalg.inv(covariance[: column + 1, : column + 1])
        rounded[column] = to_bfloat16(left[column : column + 1].astype(np.float32))[0]
        step = (left[column] - rounded[column]) / inverse[column, column]
        left[: column + 1] -= step * inverse[column]
    return rounded


def test_independent_inputs_round_to_the_nearest() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    variances = np.diag(np.arange(1.0, 9.0))
    np.testing.assert_array_equal(round_by_effect(rows, variances), to_bfloat16(rows))


def test_what_bfloat16_represents_stays() -> None:
    rows = to_bfloat16(np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32))
    np.testing.assert_array_equal(round_by_effect(rows, damp(make_covariance(8))), rows)


@pytest.mark.parametrize("covariance", [np.zeros((4, 4)), np.full((4, 4), 1e-30), np.ones((4, 4))])
def test_inputs_that_are_zero_tiny_or_all_the_same(covariance: np.ndarray) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    rounded = round_by_effect(rows, damp(covariance))
    np.testing.assert_allclose(rounded, rows, atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (5, 2), (7, 7)])
def test_the_correlation_of_a_window(shape: tuple[int, int]) -> None:
    window = correlate_window(*shape)
    assert window.shape == (shape[0] * shape[1],) * 2
    np.testing.assert_array_equal(np.diag(window), 1)
    np.testing.assert_array_equal(window, window.T)
    assert np.linalg.eigvalsh(window).min() > 0
    if shape == (3, 3):
        assert window[0, 1] == window[0, 3] == window[4, 5]
        assert window[0, 8] == pytest.approx(0.9 ** (2 * np.sqrt(2)))
