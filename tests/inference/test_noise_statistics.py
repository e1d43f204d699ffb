"""What goes into layers for images of noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from featx.engines import noise_statistics
from featx.engines.graph import NotConvertible
from featx.engines.noise_statistics import Maps, make_noise, measure
from featx.engines.openvino_model import get_core
from tests.inference.built import SIZE, make_images, scale_images


@pytest.mark.parametrize("shape", [(20, 30, 3), (1, 1, 1), (7, 1, 4)])
def test_noise_is_the_same_every_time(shape: tuple[int, int, int]) -> None:
    noise = make_noise(*shape)
    assert noise.shape == (16, *shape)
    assert noise.dtype == np.uint8
    np.testing.assert_array_equal(noise, make_noise(*shape))


def make_model(factor: float = 1.0) -> tuple[Any, Any]:
    """A model that only scales pixels, and its result."""
    from openvino import Model
    from openvino import opset13 as ops

    images = make_images()
    scaled = ops.multiply(scale_images(images), np.float32(factor))
    return Model([ops.result(scaled)], [images], "scaled"), scaled.output(0)


@pytest.mark.parametrize("max_measured", [1, 9, 2**24])
def test_means_and_products_are_those_of_the_pixels(
    max_measured: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise_statistics, "_MAX_MEASURED", max_measured)
    model, maps = make_model()
    wanted = [Maps(maps, has_products) for has_products in (True, False, True, True)]
    received = list(measure(get_core(), model, wanted))
    pixels = make_noise(SIZE, SIZE, 3).reshape(-1, 3) / 128 - 1
    assert [one.products is None for one in received] == [False, True, False, False]
    for one in received:
        np.testing.assert_allclose(one.means, pixels.mean(axis=0), rtol=1e-4)
        if one.products is not None:
            np.testing.assert_allclose(one.products, pixels.T @ pixels / len(pixels), rtol=1e-4)


@pytest.mark.parametrize("factor", [1e25, np.inf, np.nan])
def test_numbers_that_are_too_large_are_refused(factor: float) -> None:
    model, maps = make_model(factor)
    with pytest.raises(NotConvertible, match="not finite, or too large"):
        list(measure(get_core(), model, [Maps(maps, True)]))
