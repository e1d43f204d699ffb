"""Each pooling by hand; what all of them have in common is in the contract tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from featx.errors import DimensionMismatch, UnknownName
from featx.poolings import POOLINGS, pool_features, pooled_shape

# One image, 2 x 2 positions, 2 channels: channel 0 holds 1, 2, 3, 6 and channel 1 zeros and 8.
MAP = np.array([[[[1, 0], [2, 0]], [[3, 0], [6, 8]]]], np.float32)

MAPS = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=2, max_dims=5, min_side=1, max_side=4),
    elements=st.floats(-100, 100, width=32),
)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("avg", [[3.0, 2.0]]),
        ("max", [[6.0, 8.0]]),
        # Cube root of the mean of cubes: (1 + 8 + 27 + 216) / 4 = 63 and 512 / 4 = 128.
        ("gem", [[63 ** (1 / 3), 128 ** (1 / 3)]]),
        ("flatten", [[1, 0, 2, 0, 3, 0, 6, 8]]),
        ("none", MAP.tolist()),
    ],
)
def test_values_by_hand(pool: str, expected: list[object]) -> None:
    pooled = pool_features(MAP, pool)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, np.array(expected), rtol=1e-6)


def test_generalised_mean_sees_no_negative_activations() -> None:
    values = np.array([[[-5.0], [2.0]]], np.float32)
    # The floor 1e-6 stands in for -5: (1e-18 + 8) / 2 = 4.
    np.testing.assert_allclose(pool_features(values, "gem"), [[4 ** (1 / 3)]], rtol=1e-6)
    negative = np.full((1, 3, 1), -7.0, np.float32)
    np.testing.assert_allclose(pool_features(negative, "gem"), [[1e-6]], rtol=1e-4)


@given(MAPS, st.sampled_from(["avg", "max", "gem"]))
def test_every_pooling_agrees_with_a_loop_over_the_positions(values: np.ndarray, pool: str) -> None:
    pooled = pool_features(values, pool)
    if values.ndim == 2:
        np.testing.assert_array_equal(pooled, values)
        return
    for image in range(values.shape[0]):
        for channel in range(values.shape[-1]):
            positions = [float(value) for value in values[image, ..., channel].ravel()]
            if pool == "avg":
                expected = sum(positions) / len(positions)
            elif pool == "max":
                expected = max(positions)
            else:
                cubes = [max(value, 1e-6) ** 3 for value in positions]
                expected = (sum(cubes) / len(cubes)) ** (1 / 3)
            assert pooled[image, channel] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@given(MAPS, st.sampled_from(POOLINGS.names))
def test_shapes_are_those_announced(values: np.ndarray, pool: str) -> None:
    pooled = pool_features(values, pool)
    assert pooled.shape == (len(values), *pooled_shape(values.shape[1:], pool))
    assert pooled.dtype == np.float32


@given(MAPS)
def test_the_mean_lies_between_the_extremes(values: np.ndarray) -> None:
    if values.ndim == 2:
        values = values[:, None]
    space = tuple(range(1, values.ndim - 1))
    mean = pool_features(values, "avg")
    assert (mean <= values.max(axis=space) + 1e-3).all()
    assert (mean >= values.min(axis=space) - 1e-3).all()


def test_half_precision_is_summed_in_single_precision() -> None:
    # 112 * 112 * 60 = 752640 is beyond float16's largest number, 65504.
    values = np.full((1, 112, 112, 2), 60, np.float16)
    assert pool_features(values, "avg").tolist() == [[60.0, 60.0]]
    # Between 2048 and 2050 float16 has no number.
    halves = np.tile(np.array([2048, 2050], np.float16), 6272).reshape(1, 112, 112, 1)
    assert pool_features(halves, "avg").tolist() == [[2049.0]]
    # 60 ** 3 = 216000 is beyond 65504, too.
    np.testing.assert_allclose(pool_features(values, "gem"), [[60.0, 60.0]], rtol=1e-4)


def test_sequences_are_pooled_over_their_tokens() -> None:
    tokens = np.array([[[1, 10], [3, 20], [5, 60]]], np.float32)
    assert pool_features(tokens, "avg").tolist() == [[3.0, 30.0]]
    assert pool_features(tokens, "max").tolist() == [[5.0, 60.0]]


def test_an_unknown_pooling_is_refused_with_the_choices() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean avg.*Choose none, avg, max"):
        pool_features(MAP, "avgg")
    with pytest.raises(UnknownName, match="no pooling named 'mean'"):
        pooled_shape((7, 7, 3), "mean")


def test_an_array_without_batch_axis_is_refused() -> None:
    with pytest.raises(DimensionMismatch, match=r"\(B, \.\.\., C\).*Received: shape=\(3,\)"):
        pool_features(np.zeros(3, np.float32), "avg")


@pytest.mark.parametrize(
    ("shape", "pool", "expected"),
    [
        ((7, 7, 512), "none", (7, 7, 512)),
        ((7, 7, 512), "avg", (512,)),
        ((197, 768), "max", (768,)),
        ((7, 7, 512), "gem", (512,)),
        ((7, 7, 512), "flatten", (25088,)),
        ((1000,), "flatten", (1000,)),
        ((1000,), "avg", (1000,)),
    ],
)
def test_pooled_shape(shape: tuple[int, ...], pool: str, expected: tuple[int, ...]) -> None:
    assert pooled_shape(shape, pool) == expected
