"""Finding the layers of TensorFlow graphs: tensors that may be wanted, and their names."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from featx.engines.door import find_door, measure_scaling
from featx.engines.tensorflow_graph import CompiledLayers, FrozenGraph
from featx.errors import ModelError
from featx.models.backbone import Layer
from featx.models.graph_statistics import find_trained
from featx.models.inner_scaling import InnerScaling, recognize_scaling
from featx.models.trained_pixels import TrainedPixels

ACTIVATIONS = frozenset(
    "Relu Relu6 Elu Selu LeakyRelu Sigmoid Tanh Softmax LogSoftmax Softplus Softsign".split()
)
POOLS = frozenset("MaxPool MaxPoolV2 AvgPool Mean Max".split())
JOINS = frozenset("AddV2 Add AddN ConcatV2 Concat".split())
"""Operations that end what people call a layer or a block. All other tensors are layers too, but
details: convolutions before their bias, normalisations before their activation."""

_COPIES = frozenset(
    "Identity IdentityN StopGradient PreventGradient Snapshot CheckNumerics Placeholder "
    "PlaceholderWithDefault Const EnsureShape NoOp".split()
)
"""Operations that compute nothing; what they copy is a layer itself."""

_SAME_VALUES = frozenset("Identity Reshape Squeeze ExpandDims StopGradient EnsureShape".split())
"""Operations whose results are the values of their first input, in whatever shape."""

_FROM_FIRST, _TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
"""Permutations that turn channels-first batches into channels-last ones, and back."""

_WRAPPERS = re.compile(r"^(?:(?:Stateful)?PartitionedCall(?:_\d+)?/)+")
"""What inlining puts before the names that the author of a network gave."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """Facts about a tensor: the weights that it needs, a bit each, and where it comes from."""

    weights: int
    depends_on_images: bool
    channels_first: bool
    is_fed_otherwise: bool


class GraphLayers:
    """The layers of a frozen graph of one image input.

    Args:
        graph: The graph, with an input of the size of the images.
        outputs: Names of `graph.outputs`, in the same order.
        kind: The kind of these layers: ``output`` or ``endpoint``.
        channels_first: Whether images are given as (B, C, H, W).
        prefix: What all names begin with.

    Attributes:
        layers: Tensors in the order of computation, then the results.
        inner_scaling: What the graph does with pixels first, or which it was trained on; None
            where neither is known.
    """

    def __init__(
        self,
        graph: FrozenGraph,
        outputs: Sequence[str],
        kind: str,
        *,
        channels_first: bool,
        prefix: str = "",
    ) -> None:
        self._graph = graph
        self._tensors: dict[str, Any] = {}
        self._facts, sizes = _examine(graph, channels_first)
        found: dict[str, Layer] = {}
        readable = _readable_names(graph)
        own = self._find_own()
        for operation in graph.operations:
            if operation.type in _COPIES or len(operation.outputs) != 1:
                continue
            if operation.type == "Squeeze" and operation.inputs[0].name == graph.input.name:
                continue  # The images themselves, without their one channel.
            name = prefix + readable[operation.name]
            self._add(found, name, "tensor", operation.outputs[0], sizes)
            if name in found:
                weights = _count(own[operation.name], sizes)
                found[name] = replace(found[name], own_parameters=weights)
        for name, tensor in zip(outputs, graph.outputs, strict=True):
            self._add(found, prefix + name, kind, tensor, sizes)
        position = {operation.name: n for n, operation in enumerate(graph.operations)}
        last = [layer for layer in found.values() if layer.kind == kind]
        last.sort(key=lambda layer: position[_source(self._tensors[layer.name]).op.name])
        self.layers = (*(layer for layer in found.values() if layer.kind != kind), *last)
        self.inner_scaling = self._find_scaling(readable, channels_first)

    def compile(self, names: Sequence[str]) -> CompiledLayers:
        """Build a graph from scaled images to the named layers, with nothing beyond them."""
        return self._graph.prune({name: self._tensors[name] for name in names})

    def _find_scaling(
        self, readable: Mapping[str, str], channels_first: bool
    ) -> InnerScaling | TrainedPixels | None:
        door = find_door(self._graph.input)
        if not door.operations:
            users = [readable[user.name] for user in door.tensors[-1].consumers()]
            return find_trained(door.tensors[-1], _layer_of(users[0])) if users else None
        shape = self._graph.input.shape.as_list()[1:]
        if None in shape:
            return None
        height, width, channels = [*shape[1:], shape[0]] if channels_first else shape
        run = self._graph.prune({"door": door.tensors[-1]})
        found = measure_scaling(
            lambda images: run(images)["door"],
            (height, width, channels),
            channels_first=channels_first,
        )
        names = [_layer_of(readable[operation.name]) for operation in door.operations]
        return None if found is None else recognize_scaling(tuple(dict.fromkeys(names)), *found)

    def _add(
        self, found: dict[str, Layer], name: str, kind: str, tensor: Any, sizes: Mapping[int, int]
    ) -> None:
        """Add a layer if the tensor is a float with a batch axis that images decide."""
        shape, facts = tensor.shape, self._facts.get(tensor.name)
        if shape.rank is None or shape.rank < 2 or shape[0] is not None or facts is None:
            return
        if not tensor.dtype.is_floating or not facts.depends_on_images or facts.is_fed_otherwise:
            return
        row = tuple(shape[1:])
        turned = facts.channels_first and len(row) == 3
        self._tensors[name] = tensor
        found[name] = Layer(
            name,
            kind,
            _type_of(tensor) if kind != "tensor" else tensor.op.type,
            None,
            (row[1], row[2], row[0]) if turned else row,
            channels_first=turned,
            parameters=_count(facts.weights, sizes),
            dtype=tensor.dtype.name,
            is_detail=kind == "tensor" and not self._is_result(tensor.op),
            operation=operation_of(tensor),
        )

    def _find_own(self) -> dict[str, int]:
        """Return the weights that come in at each operation, by its name, a bit for each.

        Where an operation ends a layer, these are all that came in since the layers before it
        ended: those of a convolution, its bias and its normalisation.
        """
        own: dict[str, int] = {}
        since: dict[str, int] = {}
        for operation in self._graph.operations:
            sources = [self._facts[each.name] for each in operation.inputs]
            own[operation.name] = _union(s.weights for s in sources if not s.depends_on_images)
            passed = own[operation.name] | _union(since.get(e.name, 0) for e in operation.inputs)
            ends = any(s.depends_on_images for s in sources) and self._is_result(operation)
            if ends:
                own[operation.name] = passed
            since |= {each.name: 0 if ends else passed for each in operation.outputs}
        return own

    def _is_result(self, operation: Any) -> bool:
        """Whether an operation ends a layer: an activation, a pool, or a join of two branches."""
        if operation.type in JOINS:
            images = [self._facts.get(tensor.name) for tensor in operation.inputs]
            return sum(facts is not None and facts.depends_on_images for facts in images) > 1
        if operation.type == "Mul":  # x * sigmoid(x): swish, which has no operation of its own.
            return any(
                gate.op.type == "Sigmoid" and _source(gate.op.inputs[0]) is _source(other)
                for gate, other in zip(operation.inputs, reversed(operation.inputs), strict=True)
            )
        if operation.type == "Sigmoid":  # Half of a swish.
            return not any(
                user.type == "Mul"
                and any(_source(operation.inputs[0]) is _source(other) for other in user.inputs)
                for user in operation.outputs[0].consumers()
            )
        return operation.type in ACTIVATIONS | POOLS


def operation_of(tensor: Any) -> str:
    """Return the type of the operation that computes the values of a tensor.

    Copies and changes of shape are followed back to the operation whose results they hold.
    """
    while tensor.op.type in _SAME_VALUES:
        tensor = tensor.op.inputs[0]
    return str(tensor.op.type)


def output_names(structured: Any, prefix: str = "") -> list[str]:
    """Return the names of a function's results, in the order in which they are flattened.

    Example:
        >>> output_names({"logits": 1, "blocks": [2, 3]})
        ['blocks/0', 'blocks/1', 'logits']
        >>> output_names(1)
        ['default']
    """
    if isinstance(structured, Mapping):
        items: list[tuple[Any, Any]] = sorted(structured.items())
    elif isinstance(structured, (list, tuple)):
        items = list(enumerate(structured))
    else:
        return [] if structured is None else [prefix[:-1] or "default"]
    return [name for key, value in items for name in output_names(value, f"{prefix}{key}/")]


def _layer_of(operation: str) -> str:
    """Return the name of the layer that an operation is a part of, or its own.

    Example:
        >>> _layer_of("model/rescaling/mul"), _layer_of("model/truediv")
        ('model/rescaling', 'model/truediv')
    """
    layer = operation.rpartition("/")[0]
    return layer if "/" in layer else operation


def _type_of(tensor: Any) -> str:
    """Return the type of the operation that computes a result, behind copies of it."""
    return str(_source(tensor).op.type)


def _source(tensor: Any) -> Any:
    """Return the tensor that `tensor` is a copy of."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _readable_names(graph: FrozenGraph) -> dict[str, str]:
    """Return each operation's name without what inlining put before it, where that is unique."""
    short = {operation.name: _WRAPPERS.sub("", operation.name) for operation in graph.operations}
    times = Counter(short.values())
    return {name: short[name] if times[short[name]] == 1 else name for name in short}


def _examine(graph: FrozenGraph, channels_first: bool) -> tuple[dict[str, _Facts], dict[int, int]]:
    """Follow the images through the graph.

    Returns:
        What is known of each tensor, by name, and the size of each weight by its bit.
    """
    known: dict[str, _Facts] = {}
    sizes: dict[int, int] = {}
    for operation in graph.operations:
        if operation.type == "Const":
            tensor = operation.outputs[0]
            bit = len(sizes)
            if tensor.dtype.is_floating and tensor.shape.rank:
                sizes[bit] = math.prod(tensor.shape.as_list())
                facts = _Facts(1 << bit, False, False, False)
            else:
                facts = _Facts(0, False, False, False)
        elif operation.type == "Placeholder":
            is_input = operation.outputs[0].name == graph.input.name
            facts = _Facts(0, is_input, is_input and channels_first, not is_input)
        else:
            sources = [known[tensor.name] for tensor in operation.inputs if tensor.name in known]
            facts = _Facts(
                _union(source.weights for source in sources),
                any(source.depends_on_images for source in sources),
                _is_channels_first(operation, sources),
                any(source.is_fed_otherwise for source in sources),
            )
        for tensor in operation.outputs:
            known[tensor.name] = facts
    return known, sizes


def _count(bits: int, sizes: Mapping[int, int]) -> int:
    return sum(size for bit, size in sizes.items() if bits >> bit & 1)


def _union(bits: Any) -> int:
    result = 0
    for value in bits:
        result |= value
    return result


def _is_channels_first(operation: Any, sources: Sequence[_Facts]) -> bool:
    """Whether an operation's maps have their channels first: by itself, or as its inputs have."""
    if operation.type == "Transpose":
        order = _constant(operation.inputs[1])
        if order == _FROM_FIRST:
            return False
        if order == _TO_FIRST:
            return True
    with_format = {"Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool", "FusedBatchNormV3"}
    if operation.type in with_format:
        return bool(operation.get_attr("data_format") == b"NCHW")
    return any(source.channels_first for source in sources if source.depends_on_images)


def _constant(tensor: Any) -> list[int] | None:
    """Return the value of a small constant, or None."""
    from tensorflow.python.framework import tensor_util

    value = tensor_util.constant_value(_source(tensor))
    return None if value is None else [int(number) for number in value.ravel()]


def require_layers(layers: Sequence[Layer], name: str) -> None:
    """Refuse a graph without layers.

    Raises:
        ModelError: If there are no layers.
    """
    if not layers:
        raise ModelError(
            f"{name!r} has no tensor with a row of numbers for each image. Its batch size may be "
            "fixed inside the graph: export it with a batch size of None."
        )
