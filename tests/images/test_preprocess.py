from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from featx.errors import DimensionMismatch, InvalidValue
from featx.images.preprocess import scale_pixels
from featx.input_spec import ChannelOrder, InputSpec, Scaling

ORANGE = np.array([[[[255, 128, 0]]]], np.uint8)

PIXELS = npst.arrays(np.uint8, npst.array_shapes(min_dims=3, max_dims=3, max_side=4)).map(
    lambda pixels: np.stack([pixels, 255 - pixels, pixels // 2], axis=-1)
)


def contract(scaling: Scaling | None, order: ChannelOrder = "rgb", channels: int = 3) -> InputSpec:
    return InputSpec(1, 1, channels=channels, scaling=scaling, channel_order=order)


def plain_formula(pixels: np.ndarray, scaling: Scaling) -> np.ndarray:
    """The scalings in double precision, channel by channel, as papers write them."""
    rgb = pixels.astype(np.float64)
    if scaling == "caffe":
        return np.stack(
            [rgb[..., 0] - 123.68, rgb[..., 1] - 116.779, rgb[..., 2] - 103.939], axis=-1
        )
    if scaling == "tf":
        return 2 * rgb / 255 - 1
    if scaling == "torch":
        unit = rgb / 255
        return np.stack(
            [
                (unit[..., 0] - 0.485) / 0.229,
                (unit[..., 1] - 0.456) / 0.224,
                (unit[..., 2] - 0.406) / 0.225,
            ],
            axis=-1,
        )
    return rgb / 255 if scaling == "unit" else rgb


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("raw", [255.0, 128.0, 0.0]),
        ("unit", [1.0, 0.5019608, 0.0]),
        ("tf", [1.0, 0.0039216, -1.0]),
        ("caffe", [131.32, 11.221, -103.939]),
        ("torch", [2.2489083, 0.2051821, -1.8044444]),
    ],
)
def test_values_by_hand(scaling: Scaling, expected: list[float]) -> None:
    scaled = scale_pixels(ORANGE, contract(scaling))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.ravel(), expected, rtol=2e-6, atol=1e-7)


def test_the_ends_of_the_range_are_exact() -> None:
    ends = np.array([[[[0, 255, 0]]]], np.uint8)
    assert scale_pixels(ends, contract("tf")).ravel().tolist() == [-1.0, 1.0, -1.0]
    assert scale_pixels(ends, contract("unit")).ravel().tolist() == [0.0, 1.0, 0.0]


@given(PIXELS, st.sampled_from(get_args(Scaling)), st.sampled_from(["rgb", "bgr"]))
def test_every_scaling_agrees_with_its_formula(
    pixels: np.ndarray, scaling: Scaling, order: ChannelOrder
) -> None:
    before = pixels.copy()
    scaled = scale_pixels(pixels, contract(scaling, order))
    expected = plain_formula(pixels, scaling)
    if order == "bgr":
        expected = expected[..., ::-1]
    assert scaled.shape == pixels.shape
    assert scaled.dtype == np.float32
    assert scaled.flags.c_contiguous
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("scaling", get_args(Scaling))
def test_the_order_is_changed_after_scaling(scaling: Scaling) -> None:
    rgb = scale_pixels(ORANGE, contract(scaling))
    bgr = scale_pixels(ORANGE, contract(scaling, "bgr"))
    np.testing.assert_array_equal(bgr, rgb[..., ::-1])
    assert not np.array_equal(bgr, rgb)


@pytest.mark.parametrize("scaling", get_args(Scaling))
def test_the_input_is_not_modified_even_when_it_is_float32(scaling: Scaling) -> None:
    pixels = ORANGE.astype(np.float32)
    scaled = scale_pixels(pixels, contract(scaling))
    assert not np.shares_memory(scaled, pixels)
    assert pixels.ravel().tolist() == [255.0, 128.0, 0.0]


@pytest.mark.parametrize("scaling", get_args(Scaling))
def test_bytes_and_floats_give_the_same_numbers(scaling: Scaling) -> None:
    np.testing.assert_array_equal(
        scale_pixels(ORANGE, contract(scaling)),
        scale_pixels(ORANGE.astype(np.float64), contract(scaling)),
    )


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [("raw", [0, 51, 255]), ("unit", [0, 0.2, 1]), ("tf", [-1, -0.6, 1])],
)
def test_one_channel(scaling: Scaling, expected: list[float]) -> None:
    grey = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
    scaled = scale_pixels(grey, contract(scaling, channels=1))
    assert scaled.shape == (1, 1, 3, 1)
    np.testing.assert_allclose(scaled.ravel(), expected, atol=1e-7)


@pytest.mark.parametrize("scaling", ["caffe", "torch"])
def test_colour_statistics_are_refused_for_one_channel(scaling: Scaling) -> None:
    with pytest.raises(InvalidValue, match="are defined for colour images"):
        contract(scaling, channels=1)


def test_a_batch_is_scaled_image_by_image() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (5, 2, 3, 3), dtype=np.uint8)
    batch = scale_pixels(pixels, contract("torch", "bgr"))
    for index in range(5):
        alone = scale_pixels(pixels[index : index + 1], contract("torch", "bgr"))
        np.testing.assert_array_equal(batch[index : index + 1], alone)


def test_an_empty_batch_stays_empty() -> None:
    assert scale_pixels(np.zeros((0, 2, 2, 3), np.uint8), contract("caffe")).shape == (0, 2, 2, 3)


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 2, 2, 1), (1, 2, 2, 4), (1, 1, 2, 2, 3), (3,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatch) as caught:
        scale_pixels(np.zeros(shape, np.uint8), contract("raw"))
    assert str(caught.value) == (
        f"A batch of images has the shape (B, H, W, 3). Received: shape={shape}."
    )


def test_unknown_scaling_is_not_guessed() -> None:
    with pytest.raises(InvalidValue, match=r"preprocessing is not known.*preprocess="):
        scale_pixels(ORANGE, contract(None))
