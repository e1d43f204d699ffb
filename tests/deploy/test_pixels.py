"""Pictures are prepared in a graph as Pillow and featx prepare them outside of one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from featx.deploy.pixels import fit, prepare
from featx.errors import ModelError
from featx.images.conversion import fit as fit_with_pillow
from featx.images.conversion import to_channels
from featx.images.preprocess import scale_pixels
from featx.input_spec import InputSpec, Interpolation, Resize, Scaling

pytestmark = pytest.mark.tensorflow

SIZES = [(1, 1), (7, 400), (300, 9), (23, 31), (24, 32), (90, 161), (200, 67)]
"""Smaller, larger, the same, narrow: heights and widths."""


def draw(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise: every rounding shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def pillow(picture: np.ndarray, contract: InputSpec) -> np.ndarray:
    return fit_with_pillow(to_channels(Image.fromarray(picture), contract), contract)


def in_graph(picture: np.ndarray, contract: InputSpec) -> np.ndarray:
    return np.asarray(fit(picture[np.newaxis], contract))[0]


def list_ways() -> list[Any]:
    """Every filter with every way to fit; those that differ most are not slow."""
    usual = {("stretch", "bilinear"), ("crop", "lanczos"), ("pad", "bicubic"), ("pad", "nearest")}
    return [
        pytest.param(*way, marks=() if way in usual else pytest.mark.slow)
        for way in itertools.product(get_args(Resize), get_args(Interpolation))
    ]


@pytest.mark.parametrize(("resize", "interpolation"), list_ways())
def test_resizing_is_pillows_bit_for_bit(resize: Any, interpolation: Any) -> None:
    contract = InputSpec(
        24, 32, resize=resize, interpolation=interpolation, background=(9, 80, 200)
    )

    import keras

    symbols = keras.Input((None, None, 3), dtype="uint8")
    saved = keras.Model(symbols, fit(symbols, contract))
    for height, width in SIZES:
        picture = draw(height, width)
        expected = pillow(picture, contract)
        assert (in_graph(picture, contract) == expected).all(), (height, width)
        assert (np.asarray(saved(picture[np.newaxis]))[0] == expected).all(), (height, width)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_alpha_are_pillows(channels: int) -> None:
    contract = InputSpec(24, 32, channels=channels, resize="pad", background=(250, 10, 0))

    for height, width in [(7, 400), (90, 161)]:
        picture = draw(height, width)
        assert (in_graph(picture, contract) == pillow(picture, contract)).all()


@pytest.mark.parametrize("scaling", get_args(Scaling))
def test_scaling_is_that_of_the_network(scaling: Any) -> None:
    pictures = np.stack([draw(24, 32, seed) for seed in (1, 2)])
    contract = InputSpec(24, 32, scaling=scaling)
    contract = replace(contract, channel_order="bgr" if scaling == "caffe" else "rgb")

    scaled = np.asarray(prepare(pictures, contract))

    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, scale_pixels(pictures, contract))


def test_an_empty_batch_has_no_rows() -> None:
    assert in_graph_shape((0, 50, 60, 3)) == (0, 24, 32, 3)


def in_graph_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(fit(np.zeros(shape, np.uint8), InputSpec(24, 32)).shape)


def test_pages_are_refused() -> None:
    with pytest.raises(ModelError, match="5 pages of a file"):
        fit(draw(3, 3)[np.newaxis], InputSpec(24, 32, channels=5))
