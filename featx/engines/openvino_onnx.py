"""ONNX models as OpenVINO reads them: their input, and the shapes of their tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.engines.graph import NotConvertible
from featx.engines.openvino_model import get_core, reason_of

MAX_VALUES = 1 << 31
"""Values of one tensor; a graph that asks for more is damaged or malicious."""

MAX_COMPUTED = 1 << 28
"""Values of one tensor that is computed from constants, unless as many are stored: 1 GiB in
float32, which OpenVINO fills before the first image; 100 million take 10 s on two cores."""

Shape = tuple[int | None, ...]
"""Of a tensor; None for an axis whose size varies."""

_TYPES = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64"}
"""NumPy's names for OpenVINO's types of fractions; those of eight bits keep OpenVINO's."""

_PASSED_ON = frozenset("Convert Transpose Reshape Squeeze Unsqueeze Identity".split())
"""Operations that leave values as they are."""


@dataclass(frozen=True, slots=True)
class OnnxInput:
    """An input of a model.

    Attributes:
        name: Its name.
        shape: Its shape; None where not even the number of axes is known.
        is_integer: Whether it takes whole numbers.
    """

    name: str
    shape: Shape | None
    is_integer: bool


class OpenedOnnx:
    """An ONNX model, opened but not compiled.

    Args:
        path: Its file.

    Raises:
        NotConvertible: If OpenVINO does not know one of its operators; the message names it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._model = get_core().read_model(path)
        except Exception as error:  # OpenVINO raises RuntimeError and its own kinds.
            raise NotConvertible(reason_of(error)) from error

    @property
    def inputs(self) -> list[OnnxInput]:
        """What the model takes."""
        return [
            OnnxInput(
                min(port.get_names(), default=port.get_node().get_friendly_name()),
                _shape_of(port),
                port.get_element_type().is_integral(),
            )
            for port in self._model.inputs
        ]

    def find_shapes(self, input_shape: Sequence[int]) -> Mapping[str, Shape]:
        """Return the shape of each tensor of fractions, for an input of a known shape.

        Raises:
            NotConvertible: If the model cannot take such an input, or if it has a tensor that
                would take more memory than any network needs.
        """
        try:
            model = self._model.clone()
            model.reshape(list(input_shape))
        except Exception as error:
            raise NotConvertible(reason_of(error)) from error
        shapes: dict[str, Shape] = {}
        stored: dict[str, int | None] = {}
        for node in model.get_ordered_ops():
            limit = _find_limit(node, stored)
            for port in node.outputs():
                shape = _shape_of(port)
                if shape is None:
                    continue
                if math.prod(size or 1 for size in shape) > limit:
                    raise NotConvertible(f"it has a tensor of the shape {shape}")
                if port.get_element_type().is_real():
                    shapes.update(dict.fromkeys(port.get_names(), shape))
        return shapes

    def find_types(self) -> Mapping[str, str]:
        """Return the type of each tensor of fractions, such as ``float32``."""
        types: dict[str, str] = {}
        for node in self._model.get_ordered_ops():
            for port in node.outputs():
                kind = port.get_element_type()
                if kind.is_real():
                    name = _TYPES.get(kind.get_type_name(), kind.get_type_name())
                    types.update(dict.fromkeys(port.get_names(), name))
        return types

    def find_scaling(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return how the first operations scale pixels: factors and offsets; None if they do not.

        They stand for ``factor * pixel + offset``, for each channel or all alike.
        """
        factor, offset = np.ones(1), np.zeros(1)
        port = self._model.input(0)
        is_scaled = False
        while True:
            users = [user.get_node() for user in port.get_target_inputs()]
            users = [user for user in users if user.get_type_name() != "ShapeOf"]
            if len(users) != 1:
                break
            (node,) = users
            if node.get_type_name() not in _PASSED_ON:
                step = _affine(node, port)
                if step is None:
                    break
                factor, offset = factor * step[0], offset * step[0] + step[1]
                is_scaled = True
            port = node.output(0)
        return (factor, offset) if is_scaled else None


def _find_limit(node: Any, stored: dict[str, int | None]) -> int:
    """Return how many values a result of an operation may have.

    Args:
        node: The operation.
        stored: The most values of a stored tensor that each operation before it is computed from;
            None if it depends on images. This operation is added.
    """
    name, kind = node.get_name(), node.get_type_name()
    sources = [stored.get(port.get_node().get_name()) for port in node.input_values()]
    known = [count for count in sources if count is not None]
    if kind == "Constant":
        stored[name] = math.prod(node.get_output_shape(0))
        return MAX_VALUES
    # The shape of a tensor of images is a constant once that of the input is known.
    is_computed = kind != "Parameter" and (kind == "ShapeOf" or len(known) == len(sources))
    stored[name] = max(known, default=0) if is_computed else None
    return max(MAX_COMPUTED, stored[name] or 0) if is_computed else MAX_VALUES


def _shape_of(port: Any) -> Shape | None:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return tuple(size.get_length() if size.is_static else None for size in shape)


def _affine(node: Any, port: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return factor and offset of an operation on images and a constant of each channel."""
    kind = node.get_type_name()
    if kind not in ("Multiply", "Divide", "Add", "Subtract"):
        return None
    sources = [node.input_value(number) for number in range(2)]
    is_first = sources[0] == port
    value = _constant(sources[1] if is_first else sources[0])
    if value is None or not (is_first or kind in ("Multiply", "Add")):
        return None
    zero, one = np.zeros_like(value), np.ones_like(value)
    with np.errstate(divide="ignore"):
        steps = {
            "Multiply": (value, zero),
            "Divide": (1 / value, zero),
            "Add": (one, value),
            "Subtract": (one, -value),
        }
    return steps[kind]


def _constant(port: Any) -> np.ndarray | None:
    """Return a constant with at most one value for each of a few channels; None for all else."""
    node = port.get_node()
    while node.get_type_name() in _PASSED_ON and node.get_input_size():
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or math.prod(node.get_output_shape(0)) > 64:
        return None
    return np.asarray(node.get_data(), np.float64).ravel()
