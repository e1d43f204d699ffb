"""Calls of Keras layers in a trace, and what the first ones say of the pixels they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.door import Door
from featx.models.trained_pixels import TrainedPixels, find_trained_pixels

_SCALING_LAYERS = ("Rescaling", "Normalization", "BatchNormalization")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a layer during a trace; `outputs` maps each output's suffix to its tensor."""

    path: str
    layer: Any
    outputs: dict[str, Any]

    @property
    def type(self) -> str:
        """The class of the layer."""
        return type(self.layer).__name__


@dataclass(frozen=True, slots=True)
class KerasDoor:
    """What scales pixels at the door of a model.

    Attributes:
        names: The layers or operations that do it.
        rescales: Whether there is a layer that is made for it among them.
        length: How many tensors pixels are on the way; in a part of the graph, more may follow.
        end: The number of the first call behind it.
    """

    names: tuple[str, ...]
    rescales: bool
    length: int
    end: int | None


def describe_door(door: Door, calls: Sequence[Call]) -> KerasDoor:
    """Name the layers that scale pixels at the door, or where there are none, the operations."""
    passed = {id(tensor) for tensor in door.tensors}
    behind = [not passed.intersection(map(id, call.outputs.values())) for call in calls]
    scaling = [
        call
        for call, is_behind in zip(calls, behind, strict=True)
        if call.type in _SCALING_LAYERS and not is_behind
    ]
    names = [operation.name.split("/")[-1] for operation in door.operations]
    if names and scaling:
        names = [call.path for call in scaling]
    rescales = any(call.type == "Rescaling" for call in scaling)
    end = behind.index(True) if True in behind else None
    return KerasDoor(tuple(names), rescales, len(door.tensors), end)


def find_trained(calls: Sequence[Call], door: KerasDoor) -> TrainedPixels | None:
    """Find out which pixels a model was trained on, where it begins with a convolution.

    A batch normalisation must come next.
    """
    if door.end is None or door.end + 1 >= len(calls):
        return None
    first, second = calls[door.end], calls[door.end + 1]
    if first.type != "Conv2D" or second.type != "BatchNormalization" or not first.layer.weights:
        return None
    bias = np.asarray(first.layer.bias) if first.layer.use_bias else np.float32(0)
    return find_trained_pixels(
        first.path,
        np.asarray(first.layer.kernel),
        np.asarray(second.layer.moving_mean) - bias,
        np.asarray(second.layer.moving_variance),
    )
