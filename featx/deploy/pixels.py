"""Pictures of any size to a network's pixels, in operations that Keras can save.

It is Pillow's resizing bit for bit (`src/libImaging/Resample.c` and, of the filter ``nearest``,
`Geometry.c`), since all that Pillow does with 8-bit samples is exact in float64: coefficients in
units of 2^-22, a sum of products, a shift, and a limit at 0 and 255, of one axis and then of the
other. `featx.images.conversion.fit` is the same with Pillow itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL

from featx.errors import ModelError
from featx.images.preprocess import CAFFE_MEAN, TORCH_MEAN, TORCH_STD
from featx.input_spec import InputSpec

PRECISION = float(1 << 22)
"""Of Pillow's coefficients: 32 bits less 8 of a sample and 2 of sums above 1."""

_CHOOSES_ORDER = int(PIL.__version__.split(".")[0]) >= 13
"""From 13 on, Pillow begins with rows where these become fewer by more than twice as much."""

_LUMA = (19595.0, 38470.0, 7471.0)
"""Shares of red, green and blue in grey, of 65536: ITU-R 601-2, as Pillow rounds them."""

_SUPPORT = {"box": 0.5, "bilinear": 1.0, "hamming": 1.0, "bicubic": 2.0, "lanczos": 3.0}
"""Half the width of each filter that takes more than one pixel."""


def prepare(images: Any, contract: InputSpec) -> Any:
    """Fit pictures to a network's input and scale them.

    Args:
        images: Whole numbers in [0, 255], RGB, (B, any height, any width, 3): a symbol or a tensor
            of Keras.
        contract: Size, channels, resize rule, interpolation, background and scaling.

    Returns:
        float32 (B, H, W, C), as the network was trained.

    Raises:
        ModelError: If the network takes pages, not pictures.
    """
    return scale(fit(images, contract), contract)


def fit(images: Any, contract: InputSpec) -> Any:
    """Resize pictures by the contract's rule; float32 (B, H, W, C) of whole numbers."""
    from keras import ops

    values = to_channels(ops.cast(images, "float64"), contract.channels)
    # Symbols do not say how large they are, but a vector of ones of that length does.
    rows = ops.ones_like(ops.sum(values, axis=(0, 2, 3)))
    columns = ops.ones_like(ops.sum(values, axis=(0, 1, 3)))
    down, across = _place(rows, columns, contract)
    values = _resample(values, down, across, contract)
    if contract.resize == "pad":
        inside = ops.einsum("h,w->hw", down.inside(), across.inside())[None, :, :, None]
        values = values * inside + (1.0 - inside) * np.array(_background(contract))
    return ops.cast(values, "float32")


def scale(pixels: Any, contract: InputSpec) -> Any:
    """Scale float32 pixels (B, H, W, C) as `featx.images.preprocess.scale_pixels` does."""
    from keras import ops

    if contract.scaling == "caffe":
        pixels = pixels - CAFFE_MEAN
    elif contract.scaling == "tf":
        pixels = pixels / np.float32(127.5) - np.float32(1.0)
    elif contract.scaling in ("torch", "unit"):
        pixels = pixels / np.float32(255.0)
        if contract.scaling == "torch":
            pixels = (pixels - TORCH_MEAN) / TORCH_STD
    return ops.flip(pixels, axis=-1) if contract.channel_order == "bgr" else pixels


def to_channels(values: Any, channels: int) -> Any:
    """Turn RGB, whole numbers as floats (B, H, W, 3), into what the network takes."""
    from keras import ops

    if channels == 3:
        return values
    if channels == 1:
        luma = ops.sum(values * np.array(_LUMA), axis=-1, keepdims=True)
        return ops.floor((luma + 32768.0) / 65536.0)
    if channels == 4:
        return ops.concatenate([values, ops.full_like(values[..., :1], 255.0)], axis=-1)
    raise ModelError(f"The network takes {channels} pages of a file, not a picture.")


def _background(contract: InputSpec) -> list[float]:
    """Return what a pixel beside the picture is, (C,)."""
    colour = [float(value) for value in contract.background]
    if contract.channels == 1:
        luma = sum(share * value for share, value in zip(_LUMA, colour, strict=True))
        return [math.floor((luma + 32768) / 65536)]
    return colour if contract.channels == 3 else [*colour, 255.0]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where the pixels of one axis go.

    Attributes:
        ones: One for each pixel of the picture, (n,).
        begin: The first of them that is taken.
        length: How many are.
        first: The row or column of the result at which they begin.
        count: How many rows or columns they become.
        out: How many the result has.
    """

    ones: Any
    begin: Any
    length: Any
    first: Any
    count: Any
    out: int

    def inside(self) -> Any:
        """Return 1 for each row or column of the result that the picture covers, else 0."""
        from keras import ops

        numbers = np.arange(self.out, dtype=np.float64)
        end = self.first + self.count
        return ops.cast(ops.logical_and(self.first <= numbers, end > numbers), "float64")


def _place(rows: Any, columns: Any, contract: InputSpec) -> tuple[_Axis, _Axis]:
    """Return how rows and columns are placed, as `featx.images.conversion.fit` does it."""
    from keras import ops

    height, width = ops.sum(rows), ops.sum(columns)
    high, wide = float(contract.height), float(contract.width)
    zero = height * 0.0
    if contract.resize == "crop":
        box_width = ops.minimum(width, ops.maximum(1.0, ops.floor(height * wide / high)))
        box_height = ops.minimum(height, ops.maximum(1.0, ops.floor(width * high / wide)))
        top, left = ops.floor((height - box_height) / 2), ops.floor((width - box_width) / 2)
        down = _Axis(rows, top, box_height, zero, zero + high, contract.height)
        return down, _Axis(columns, left, box_width, zero, zero + wide, contract.width)
    if contract.resize == "pad":
        is_wide = width / height > wide / high
        fitted_high = ops.maximum(1.0, ops.round(height / width * wide))
        fitted_wide = ops.maximum(1.0, ops.round(width / height * high))
        count_high = ops.where(is_wide, fitted_high, zero + high)
        count_wide = ops.where(is_wide, zero + wide, fitted_wide)
        top, left = ops.round((high - count_high) / 2), ops.round((wide - count_wide) / 2)
        down = _Axis(rows, zero, height, top, count_high, contract.height)
        return down, _Axis(columns, zero, width, left, count_wide, contract.width)
    down = _Axis(rows, zero, height, zero, zero + high, contract.height)
    return down, _Axis(columns, zero, width, zero, zero + wide, contract.width)


def _resample(values: Any, down: _Axis, across: _Axis, contract: InputSpec) -> Any:
    """Resize pixels, whole numbers in float64, along one axis and then along the other."""
    import keras
    from keras import ops

    rows, columns = (_coefficients(axis, contract) for axis in (down, across))

    def columns_first() -> Any:
        narrow = _round(ops.einsum("bhwc,ow->bhoc", values, columns))
        return _round(ops.einsum("bhwc,oh->bowc", narrow, rows))

    def rows_first() -> Any:
        flat = _round(ops.einsum("bhwc,oh->bowc", values, rows))
        return _round(ops.einsum("bhwc,ow->bhoc", flat, columns))

    if not _CHOOSES_ORDER or contract.interpolation == "nearest":
        return columns_first()
    fewer_rows = ops.sum(down.ones) - down.count
    fewer_columns = ops.maximum(ops.sum(across.ones) - across.count, 0.0)
    is_tall = fewer_rows > 2.0 * fewer_columns
    if keras.backend.is_keras_tensor(values):  # A saved model has no branches.
        return ops.where(is_tall, rows_first(), columns_first())
    return ops.cond(is_tall, rows_first, columns_first)


def _round(sums: Any) -> Any:
    """Return sums of products with coefficients as samples."""
    from keras import ops

    return ops.clip(ops.floor((sums + PRECISION / 2) / PRECISION), 0.0, 255.0)


def _coefficients(axis: _Axis, contract: InputSpec) -> Any:
    """Return Pillow's coefficients of each row or column of the result, float64 (out, n)."""
    from keras import ops

    weights = _coefficients_from_first(axis, contract.interpolation)
    if contract.resize != "pad":
        return weights
    inner = ops.subtract(np.arange(axis.out, dtype=np.float64), axis.first)
    numbers = ops.cast(ops.clip(inner, 0, axis.out - 1), "int32")
    return ops.take(weights, numbers, axis=0)


def _coefficients_from_first(axis: _Axis, interpolation: str) -> Any:
    """Return the same where the picture begins at 0: whole numbers in units of 2^-22."""
    from keras import ops

    numbers = np.arange(axis.out, dtype=np.float64)
    scale = axis.length / axis.count
    positions = ops.cumsum(axis.ones) - 1.0
    size = ops.sum(axis.ones)
    if interpolation == "nearest":  # Pillow adds the scale up, which rounds otherwise.
        steps = ops.where(numbers == 0, axis.begin + scale * 0.5, scale)
        chosen = ops.minimum(ops.floor(ops.cumsum(steps)), size - 1.0)
        return PRECISION * ops.cast(ops.equal(positions, chosen[:, None]), "float64")
    stretch = ops.maximum(scale, 1.0)
    support = _SUPPORT[interpolation] * stretch
    centres = (axis.begin + scale * (numbers + 0.5))[:, None]
    low = ops.maximum(ops.floor(centres - support + 0.5), 0.0)
    high = ops.minimum(ops.floor(centres + support + 0.5), size)
    within = ops.logical_and(positions >= low, positions < high)
    weights = _filter((positions - centres + 0.5) * (1.0 / stretch), interpolation)
    weights = ops.where(within, weights, ops.zeros_like(weights))
    sums = ops.sum(weights, axis=1, keepdims=True)
    sums = ops.where(ops.equal(sums, 0.0), ops.ones_like(sums), sums)  # Beside the picture.
    weights = weights / sums * PRECISION
    return ops.sign(weights) * ops.floor(ops.absolute(weights) + 0.5)


def _filter(x: Any, interpolation: str) -> Any:
    """Return a filter of Pillow at the distances x."""
    from keras import ops

    near = ops.absolute(x)
    zeros = ops.zeros_like(x)
    if interpolation == "box":
        return ops.cast(ops.logical_and(x > -0.5, x <= 0.5), "float64")
    if interpolation == "bilinear":
        return ops.maximum(1.0 - near, 0.0)
    if interpolation == "hamming":
        return ops.where(near < 1, _sinc(x) * (0.54 + 0.46 * ops.cos(x * math.pi)), zeros)
    if interpolation == "bicubic":
        a = -0.5
        close = ((a + 2) * near - (a + 3)) * near * near + 1
        far = (((near - 5) * near + 8) * near - 4) * a
        return ops.where(near < 1, close, ops.where(near < 2, far, zeros))
    inside = ops.logical_and(x >= -3, x < 3)
    return ops.where(inside, _sinc(x) * _sinc(x / 3), zeros)


def _sinc(x: Any) -> Any:
    from keras import ops

    angle = x * math.pi
    ones, is_zero = ops.ones_like(x), ops.equal(x, 0.0)
    return ops.where(is_zero, ones, ops.sin(angle) / ops.where(is_zero, ones, angle))
