"""Finding the layers of ONNX models: every tensor that has a row of numbers for each image."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from featx.engines.openvino_onnx import Shape
from featx.models.backbone import Layer
from featx.models.onnx_format import OnnxFile, OnnxNode

ACTIVATIONS = frozenset(
    "Celu Clip Elu Gelu HardSigmoid HardSwish LeakyRelu LogSoftmax Mish PRelu Relu Selu Sigmoid "
    "Softmax Softplus Softsign Swish Tanh ThresholdedRelu".split()
)
POOLS = frozenset(
    "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool ReduceMax "
    "ReduceMean".split()
)
JOINS = frozenset("Add Concat Sum".split())
"""Operators that end what people call a layer or a block; all other tensors are details."""

_SAME_VALUES = frozenset("Cast Dropout Flatten Identity Reshape Squeeze Unsqueeze".split())
"""Operators whose results are the values of their first input, in whatever shape."""

_CHANNELS_FIRST = frozenset(
    "AveragePool BatchNormalization Conv ConvInteger ConvTranspose DepthToSpace "
    "GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization LRN "
    "LpPool MaxPool QLinearConv SpaceToDepth".split()
)
"""Operators that ONNX defines for channels first alone."""

_TO_LAST, _TO_FIRST, _SWAPPED = (0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1)
"""Permutations that turn maps to channels last and to channels first; and sequences either way."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """Facts about a tensor: the weights that it needs, a bit each, and where it comes from.

    `since` are those that came in behind the layers that end before it.
    """

    weights: int = 0
    since: int = 0
    depends_on_images: bool = False
    channels_first: bool = False
    operation: str = ""


def find_layers(
    file: OnnxFile,
    input: str,
    shapes: Mapping[str, Shape],
    batch: int,
    *,
    types: Mapping[str, str],
    channels_first: bool,
) -> list[Layer]:
    """Return the layers of a model: tensors in the order of computation, then its results.

    Args:
        file: The model.
        input: The tensor that takes images.
        shapes: The shape of each tensor of fractions, for a batch of images.
        batch: The size of that batch.
        types: The type of each of these tensors.
        channels_first: Whether images are given as (B, C, H, W).
    """
    bits = {name: 1 << number for number, name in enumerate(file.weights)}
    known = {name: _Facts(weights=bit) for name, bit in bits.items()}
    known[input] = _Facts(depends_on_images=True, channels_first=channels_first)
    found: dict[str, Layer] = {}
    for node in file.nodes:
        sources = [known[name] for name in node.inputs if name in known]
        facts = _follow(node, sources)
        is_detail = not _is_result(node, file, sources)
        own = facts.since
        if is_detail:
            own = _union(s.weights for s in sources if not s.depends_on_images)
        elif facts.depends_on_images:
            facts = replace(facts, since=0)
        for name in node.outputs:
            known[name] = facts
            shape = shapes.get(name, ())
            if len(shape) < 2 or shape[0] != batch or not facts.depends_on_images:
                continue
            is_turned = facts.channels_first and len(shape) == 4
            row = shape[1:]
            found[name] = Layer(
                name,
                "tensor",
                node.type,
                None,
                (row[1], row[2], row[0]) if is_turned else row,
                channels_first=is_turned,
                parameters=_sum(file.weights, bits, facts.weights),
                own_parameters=_sum(file.weights, bits, own),
                dtype=types.get(name, ""),
                is_detail=is_detail,
                operation=facts.operation,
            )
    results = [
        replace(layer, kind="output", own_parameters=None, is_detail=False)
        for name, layer in found.items()
        if name in file.outputs
    ]
    return [*(layer for name, layer in found.items() if name not in file.outputs), *results]


def _follow(node: OnnxNode, sources: list[_Facts]) -> _Facts:
    """Return what is known of the results of an operation."""
    images = [source for source in sources if source.depends_on_images]
    is_copy = node.type in _SAME_VALUES and bool(images)
    return _Facts(
        _union(source.weights for source in sources),
        _union(s.since if s.depends_on_images else s.weights for s in sources),
        bool(images),
        _is_channels_first(node, images),
        images[0].operation if is_copy else node.type,
    )


def _union(bits: Iterable[int]) -> int:
    return functools.reduce(operator.or_, bits, 0)


def _is_channels_first(node: OnnxNode, images: list[_Facts]) -> bool:
    """Whether results have their channels first: by the operator, or as its inputs have."""
    if node.type in _CHANNELS_FIRST:
        return True
    is_first = any(source.channels_first for source in images)
    if node.type == "Transpose":
        turned = {_TO_LAST: False, _TO_FIRST: True, _SWAPPED: not is_first}
        return turned.get(node.permutation, is_first)
    return is_first


def _is_result(node: OnnxNode, file: OnnxFile, sources: list[_Facts]) -> bool:
    """Whether an operation ends a layer: an activation, a pool, or a join of two branches."""
    if node.type in JOINS or node.type == "Mul":
        if sum(source.depends_on_images for source in sources) < 2:
            return False
        # Of products only x * sigmoid(x): swish, which older versions have no operator for.
        return node.type in JOINS or any(source.operation == "Sigmoid" for source in sources)
    if node.type == "Sigmoid":  # Half of a swish.
        return not any(
            user.type == "Mul" and {*node.outputs, *node.inputs[:1]} <= {*user.inputs}
            for user in file.nodes
        )
    return node.type in ACTIVATIONS | POOLS


def _sum(weights: Mapping[str, int], bits: Mapping[str, int], needed: int) -> int:
    return sum(count for name, count in weights.items() if bits[name] & needed)
