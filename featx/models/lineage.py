"""What the result of a layer comes from: weights, receptive field, layout.

Receptive fields follow Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural
Networks", Distill 2019 (equation 2): along a path, each kernel adds (k - 1) * dilation input steps,
and each stride widens the step. Where paths join, the longest counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

_WINDOWS = frozenset("Conv2D DepthwiseConv2D SeparableConv2D MaxPooling2D AveragePooling2D".split())
"""Layers that look through a window at each position."""

_POINTWISE = frozenset(
    "InputLayer Identity Activation ReLU LeakyReLU PReLU ELU ThresholdedReLU Softmax Dense "
    "BatchNormalization LayerNormalization Rescaling Normalization Dropout SpatialDropout2D "
    "AlphaDropout GaussianDropout GaussianNoise ActivityRegularization ZeroPadding2D Cropping2D "
    "Permute LayerScale StochasticDepth Add Subtract Multiply Average Maximum Minimum "
    "Concatenate".split()
)
"""Layers that look at one position at a time; behind any other layer, fields are not known."""


@dataclass(frozen=True, slots=True)
class Field:
    """A window into the input, rows and columns, and the input steps between neighbours."""

    size: tuple[int, int] = (1, 1)
    step: tuple[int, int] = (1, 1)

    def through(
        self, kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
    ) -> Field:
        """Return the field of a layer that looks through a window at this one.

        Example:
            >>> Field().through((3, 3), (2, 2), (1, 1)).through((3, 3), (1, 1), (2, 2)).size
            (11, 11)
        """
        sizes = [
            size + (k - 1) * d * step
            for size, step, k, d in zip(self.size, self.step, kernel, dilation, strict=True)
        ]
        steps = [step * stride for step, stride in zip(self.step, strides, strict=True)]
        return Field((sizes[0], sizes[1]), (steps[0], steps[1]))


@dataclass(frozen=True, slots=True)
class Origin:
    """What a tensor comes from.

    Attributes:
        weights: A bit for each weight that it needs.
        field: Its window into the input, or None where that is not known or everything.
        channels_first: Whether its maps are (c, h, w).
    """

    weights: int = 0
    field: Field | None = None
    channels_first: bool = False


class Lineage:
    """Origins of the tensors of one trace.

    Args:
        images: Tensors that stand for the model's input.
        channels_first: Whether these are (B, C, H, W).
    """

    def __init__(self, images: Iterable[Any], *, channels_first: bool) -> None:
        self._origins: dict[int, Origin] = {}
        self._kept: list[Any] = []  # An id is only unique while its object lives.
        self._bits: dict[int, int] = {}
        self._sizes: list[int] = []
        for tensor in images:
            self._remember(tensor, Origin(0, Field(), channels_first))

    def record(self, layer: Any, inputs: Any, outputs: Any) -> None:
        """Note one call. Inner calls come first, so what they returned is already known."""
        results = [tensor for tensor in _flatten(outputs) if id(tensor) not in self._origins]
        if not results:
            return
        sources = [tensor for tensor in _flatten(inputs) if hasattr(tensor, "shape")]
        known = [self._origins[id(tensor)] for tensor in sources if id(tensor) in self._origins]
        weights = self._weights_of(layer)
        for origin in known:
            weights |= origin.weights
        all_known = len(known) == len(sources) and bool(known)
        origin = Origin(
            weights,
            _field_after(layer, known) if all_known else None,
            _is_channels_first(layer, known),
        )
        for tensor in results:
            self._remember(tensor, origin)

    def of(self, tensor: Any) -> Origin:
        """Return what is known of a tensor."""
        return self._origins.get(id(tensor), Origin())

    def parameters(self, origin: Origin) -> int:
        """Count the weights that a tensor needs."""
        return sum(size for bit, size in enumerate(self._sizes) if origin.weights >> bit & 1)

    def _remember(self, tensor: Any, origin: Origin) -> None:
        self._origins[id(tensor)] = origin
        self._kept.append(tensor)

    def _weights_of(self, layer: Any) -> int:
        result = 0
        for weight in layer.weights:
            bit = self._bits.setdefault(id(weight), len(self._sizes))
            if bit == len(self._sizes):
                self._sizes.append(math.prod(weight.shape))
                self._kept.append(weight)
            result |= 1 << bit
        return result


def receptive_field(origin: Origin) -> int | None:
    """Return the larger side of a tensor's window into the input, in pixels, or None."""
    return None if origin.field is None else max(origin.field.size)


def _field_after(layer: Any, sources: Sequence[Origin]) -> Field | None:
    """Return the field of a layer's result, or None where it is not known."""
    name = type(layer).__name__
    fields = [source.field for source in sources if source.field is not None]
    if len(fields) < len(sources) or len({field.step for field in fields}) != 1:
        return None
    longest = replace(
        fields[0],
        size=(max(field.size[0] for field in fields), max(field.size[1] for field in fields)),
    )
    if name in _WINDOWS:
        kernel = getattr(layer, "kernel_size", None) or layer.pool_size
        return longest.through(kernel, layer.strides, getattr(layer, "dilation_rate", (1, 1)))
    if name == "LayerNormalization":
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        return longest if list(axes) in ([-1], [3]) else None
    return longest if name in _POINTWISE else None


def _is_channels_first(layer: Any, sources: Sequence[Origin]) -> bool:
    """Whether a layer's maps have channels first: by itself, or as its inputs have."""
    stated = getattr(layer, "data_format", None)
    if stated in ("channels_first", "channels_last"):
        return bool(stated == "channels_first")
    if type(layer).__name__ == "Permute":
        order = tuple(layer.dims)
        if order in ((2, 3, 1), (3, 1, 2)):
            return order == (3, 1, 2)
    return any(source.channels_first for source in sources)


def _flatten(value: Any) -> list[Any]:
    """Return the leaves of nested lists, tuples and dictionaries."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _flatten(item)]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _flatten(item)]
    return [] if value is None else [value]
