"""The tensor of a TensorFlow 1 graph that images replace, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.graph_nodes import node_of
from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError, UnknownName, join_names
from featx.models.free_inputs import FreeInput, make_constants
from featx.models.input_contract import InputShape, read_input_shape

_BEFORE_KERNEL = frozenset(
    "Identity StopGradient CheckNumerics Cast Sub Mul Add AddV2 BiasAdd RealDiv Div Neg Maximum "
    "Minimum Pad PadV2 MirrorPad ResizeBilinear ResizeNearestNeighbor ResizeBicubic FusedBatchNorm "
    "FusedBatchNormV2 FusedBatchNormV3".split()
)
"""Operations that keep channels and their axis."""

_KERNELS = frozenset(("Conv2D", "DepthwiseConv2dNative"))
_COPIES = frozenset(("Identity", "ReadVariableOp"))


@dataclass(frozen=True, slots=True)
class GraphInput:
    """The tensor of a graph that takes images.

    Attributes:
        tensor: Its name, such as ``input:0``.
        dtype: The type of pixels.
        shape: What it takes.
        constants: Values of other operations by their names.
    """

    tensor: str
    dtype: Any
    shape: InputShape
    constants: Mapping[str, np.ndarray]


def find_input(
    graph: Any, chosen: str | None, given: Mapping[str, Any], name: str, remedy: str
) -> GraphInput:
    """Return the tensor that takes images, and what other inputs get.

    Args:
        graph: The GraphDef.
        chosen: The operation that the user named; None for the only placeholder of numbers.
        given: Constants for other placeholders by their names.
        name: The model, for messages.
        remedy: How to name an operation: ``graphdef:FILE.pb,input=NAME``.

    Raises:
        InvalidValue: If a constant does not suit its placeholder.
        ModelError: If none was named and there is none, or several.
        UnknownName: If there is no operation of the name.
    """
    tensorflow = import_tensorflow()
    nodes = {node.name: node for node in graph.node}
    free = [_free_input(node) for node in graph.node if _takes_value(node)]
    constants = make_constants(name, free, given)
    found = []
    for node in graph.node:
        dtype = tensorflow.dtypes.as_dtype(node.attr["dtype"].type) if _is_input(node) else None
        if (
            node.name not in constants
            and dtype is not None
            and (dtype.is_floating or dtype == tensorflow.uint8)
        ):
            found.append(node.name)
    if chosen is None and len(found) != 1:
        raise ModelError(
            f"featx feeds models one image. Received: {name!r} with "
            + (f"{len(found)} inputs of numbers ({join_names(found, conjunction='and')})." if found
               else "no input that takes pixels.")
            + f" Choose the operation whose result images replace: {remedy}."
            + _offer_constants(free, found)
        )  # fmt: skip
    operation = chosen.removesuffix(":0") if chosen else found[0]
    if operation not in nodes:
        raise UnknownName(f"operation of {name}", operation, nodes)
    node = nodes[operation]
    if not _is_input(node):
        shape = _read_shape(graph, operation, None, name)
        return GraphInput(f"{operation}:0", tensorflow.float32, shape, constants)
    proto = node.attr["shape"].shape if "shape" in node.attr else None
    sizes = None
    if proto is not None and not proto.unknown_rank and proto.dim:
        sizes = [dim.size if dim.size > 0 else None for dim in proto.dim]
    dtype = tensorflow.dtypes.as_dtype(node.attr["dtype"].type)
    shape = _read_shape(graph, operation, sizes, name)
    return GraphInput(f"{operation}:0", dtype, shape, constants)


def _takes_value(node: Any) -> bool:
    return node.op in ("Placeholder", "PlaceholderWithDefault") and "dtype" in node.attr


def _free_input(node: Any) -> FreeInput:
    """Describe a placeholder."""
    dtype = import_tensorflow().dtypes.as_dtype(node.attr["dtype"].type).name
    proto = node.attr["shape"].shape if "shape" in node.attr else None
    if proto is None or proto.unknown_rank:
        return FreeInput(node.name, None, dtype)
    sizes = tuple(dim.size if dim.size >= 0 else None for dim in proto.dim)
    return FreeInput(node.name, sizes, dtype)


def _offer_constants(free: Sequence[FreeInput], found: Sequence[str]) -> str:
    """Say which other inputs may be given a value, if there are several."""
    others = [each.name for each in free if each.shape is not None and len(each.shape) < 3]
    if len(found) < 2 or not others:
        return ""
    return f" Or give the others a value: {''.join(f',{each}=NUMBER' for each in others)}."


def _is_input(node: Any) -> bool:
    return node.op == "Placeholder" and "dtype" in node.attr


def _read_shape(
    graph: Any, operation: str, sizes: list[int | None] | None, name: str
) -> InputShape:
    """Return what an input takes; channels that it leaves open are those of the first kernel."""
    kernel = _first_kernel(graph, operation) if sizes is None or len(sizes) == 4 else None
    if kernel is not None:
        channels, channels_first = kernel
        whole = sizes or [None] * 4
        axis = 1 if channels_first else 3
        if whole[axis] is None:
            sizes = [*whole[:axis], channels, *whole[axis + 1 :]]
    return read_input_shape(sizes, name)


def _first_kernel(graph: Any, operation: str) -> tuple[int, bool] | None:
    """Return what the first convolutions take: channels, and whether these come first.

    Returns:
        None if something else comes before, or they differ.
    """
    nodes = {node.name: node for node in graph.node}
    found: set[tuple[int | None, bool]] = set()
    waiting, seen = [operation], {operation}
    while waiting:
        name = waiting.pop()
        for user in graph.node:
            if name not in map(node_of, user.input):
                continue
            if user.op in _KERNELS and node_of(user.input[0]) == name:
                channels = _kernel_channels(nodes, user.input[1])
                found.add((channels, user.attr["data_format"].s == b"NCHW"))
            elif user.op in _BEFORE_KERNEL and user.name not in seen:
                seen.add(user.name)
                waiting.append(user.name)
    if len(found) != 1:
        return None
    channels, channels_first = found.pop()
    return None if channels is None else (channels, channels_first)


def _kernel_channels(nodes: Mapping[str, Any], tensor: str) -> int | None:
    """Return the channels that a kernel of (height, width, channels, filters) takes."""
    node = nodes.get(node_of(tensor))
    while node is not None and node.op in _COPIES:
        node = nodes.get(node_of(node.input[0]))
    if node is None:
        return None
    attribute = (
        node.attr["value"].tensor.tensor_shape if node.op == "Const" else node.attr["shape"].shape
    )
    sizes = [dim.size for dim in attribute.dim]
    return sizes[2] if len(sizes) == 4 and sizes[2] > 0 else None
