"""What goes into layers of a network, measured with OpenVINO for images of noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from featx.engines.graph import NotConvertible
from featx.machine import available_cores

_NUM_IMAGES = 16
_BLOCK = 4

_MAX_MEASURED = 2**24
"""Numbers of products that are in memory at a time: 64 MiB."""


class Maps(NamedTuple):
    """Maps (B, C, h, w) inside a model: an output of one of its operations."""

    output: Any
    has_products: bool
    """Whether products of channels are measured, too."""

    @property
    def num_products(self) -> int:
        """How many products are measured."""
        channels: int = self.output.get_partial_shape()[1].get_length()
        return channels**2 if self.has_products else 0


class Statistics(NamedTuple):
    """Means of channels (C,), and of products of two of them, (C, C), where asked for."""

    means: np.ndarray
    products: np.ndarray | None


def measure(core: Any, model: Any, wanted: Sequence[Maps]) -> Iterator[Statistics]:
    """Measure maps inside a model, over space and images of noise, in float32.

    Args:
        core: OpenVINO's core.
        model: One input: images (B, H, W, C), all but B known.
        wanted: What to measure. It is divided so that products fit into memory; the model runs
            once for each part.

    Yields:
        What was measured, float64, in the order of `wanted`.

    Raises:
        NotConvertible: If means or products are too large for float32, or not numbers.
    """
    for group in _in_groups(wanted):
        yield from _measure_group(core, model, group)


def _in_groups(wanted: Sequence[Maps]) -> Iterator[list[Maps]]:
    group: list[Maps] = []
    total = 0
    for maps in wanted:
        if group and total + maps.num_products > _MAX_MEASURED:
            yield group
            group, total = [], 0
        group.append(maps)
        total += maps.num_products
    if group:
        yield group


def _measure_group(core: Any, model: Any, group: list[Maps]) -> Iterator[Statistics]:
    import openvino
    from openvino import opset13 as ops

    results = [ops.reduce_mean(maps.output, [0, 2, 3]).output(0) for maps in group]
    results += [_multiply_channels(maps.output) for maps in group if maps.has_products]
    measured = openvino.Model(results, model.get_parameters(), "measured").clone()
    _, height, width, channels = measured.input(0).get_partial_shape()
    measured.reshape([_BLOCK, height, width, channels])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": available_cores(),
    }
    compiled = core.compile_model(measured, "CPU", settings)
    images = make_noise(*(size.get_length() for size in (height, width, channels)))
    blocks = np.split(images, _NUM_IMAGES // _BLOCK)
    totals: list[Any] = [0.0] * len(results)
    for block in blocks:
        totals = [
            total + values / len(blocks)
            for total, values in zip(totals, compiled([block]).to_tuple(), strict=True)
        ]
    if not all(np.isfinite(values).all() for values in totals):
        raise NotConvertible("numbers in it are not finite, or too large")
    products = iter(totals[len(group) :])
    for maps, means in zip(group, totals, strict=False):
        found = next(products).astype(np.float64) if maps.has_products else None
        yield Statistics(means.astype(np.float64), found)


def _multiply_channels(maps: Any) -> Any:
    """Return the mean products of all pairs of channels: (C, C)."""
    from openvino import opset13 as ops

    flat = ops.reshape(maps, [0, 0, -1], True)  # (B, C, h * w)
    products = ops.reduce_mean(ops.matmul(flat, flat, False, True), [0])
    size = ops.convert(ops.reduce_prod(ops.gather(ops.shape_of(maps), [2, 3], 0), [0]), "f32")
    return ops.divide(products, size).output(0)


def make_noise(height: int, width: int, channels: int) -> np.ndarray:
    """Return images of noise with the spectrum of photographs, the same ones every time.

    The amplitude of photographs falls with frequency, about as 1/f (Field, Relations between the
    statistics of natural images and the response properties of cortical cells, 1987). For the
    means of the inputs of layers, such noise serves as well as photographs.

    Returns:
        uint8 (16, height, width, channels).
    """
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1.0
    images = []
    for _ in range(_NUM_IMAGES):
        white = np.fft.fft2(random.normal(size=(channels, height, width)))
        layers = np.fft.ifft2(white / frequency ** random.uniform(0.9, 1.4)).real
        layers = layers[:1] + 0.5 * layers  # Mostly grey, as photographs are.
        layers = (layers - layers.mean()) / (layers.std() or 1.0)
        pixels = np.clip(128 + 60 * layers + 30 * random.normal(), 0, 255)
        images.append(pixels.astype(np.uint8).transpose(1, 2, 0))
    return np.stack(images)
