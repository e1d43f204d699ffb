"""Signatures of a Hub module that were not chosen; their outputs are layers all the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from featx.engines.freezing import inline_function
from featx.engines.graph_nodes import ancestors
from featx.engines.tensorflow_graph import CompiledLayers
from featx.input_spec import InputSpec
from featx.models.backbone import Layer
from featx.models.graph_layers import GraphLayers
from featx.models.input_contract import InputShape
from featx.models.signatures import find_graph_layers, freeze_signature


class OtherSignature:
    """A signature that was not chosen; its outputs are the layers ``signature/output``.

    It is frozen only when one of them is computed, or where they cannot be described before.

    Args:
        loaded: The module, which is kept: a signature by itself lets go of its variables.
        signature: The name of the signature.
        shape: What the module takes, as the signature that was chosen says.
        contract: The input contract.
        model: The module, for messages.
    """

    def __init__(
        self, loaded: Any, signature: str, shape: InputShape, contract: InputSpec, model: str
    ) -> None:
        prefix = f"{signature}/"
        function = loaded.signatures[signature]

        def freeze() -> GraphLayers:
            graph, _ = freeze_signature(loaded.signatures[signature], signature, model)
            names = sorted(function.structured_outputs)
            return find_graph_layers(graph, shape, contract, names, "output", prefix=prefix)

        self._freeze = freeze
        self._frozen: GraphLayers | None = None
        self.layers: list[Layer] = []
        if not shape.channels_first and _all_known(function):
            self.layers = _describe_outputs(function, prefix)
        else:
            self._frozen = freeze()
            self.layers = [each for each in self._frozen.layers if each.kind == "output"]
        self.names = {layer.name for layer in self.layers}

    def compile(self, names: Sequence[str]) -> CompiledLayers:
        """Build a function from scaled images to the named layers."""
        self._frozen = self._frozen or self._freeze()
        return self._frozen.compile(names)


def _all_known(function: Any) -> bool:
    """Whether the shapes of all outputs are known but for the batch."""
    return all(
        spec.shape.rank is not None and None not in spec.shape.as_list()[1:]
        for spec in function.structured_outputs.values()
    )


def _describe_outputs(function: Any, prefix: str) -> list[Layer]:
    """Describe the outputs in the order of computation, as `GraphLayers` does, without freezing."""
    graph = inline_function(function)
    nodes = {node.name: node for node in graph.node}
    positions = {name: position for position, name in enumerate(nodes)}
    sizes = _find_weights(function, graph)
    found: list[tuple[int, Layer]] = []
    for name, tensor in zip(sorted(function.structured_outputs), function.outputs, strict=True):
        if not tensor.dtype.is_floating or tensor.shape.rank < 2 or tensor.shape[0] is not None:
            continue
        source = nodes[tensor.op.name]
        while source.op == "Identity":
            source = nodes[source.input[0].partition(":")[0]]
        layer = Layer(
            prefix + name,
            "output",
            source.op,
            None,
            tuple(tensor.shape[1:]),
            parameters=sum(sizes.get(each, 0) for each in ancestors([source.name], graph.node)),
            dtype=tensor.dtype.name,
            operation=source.op,
        )
        found.append((positions[source.name], layer))
    return [layer for _, layer in sorted(found, key=lambda each: each[0])]


def _find_weights(function: Any, graph: Any) -> dict[str, int]:
    """Return how many values each variable and constant holds, but for single numbers."""
    variables = {id(variable.handle): variable for variable in function.variables}
    sizes = {
        internal.op.name: math.prod(variables[id(external)].shape)
        for external, internal in function.graph.captures
        if id(external) in variables and variables[id(external)].dtype.is_floating
    }
    for node in graph.node:
        shape = node.attr["value"].tensor.tensor_shape.dim
        if node.op == "Const" and shape and _is_floating(node):
            sizes[node.name] = math.prod(dim.size for dim in shape)
    return sizes


def _is_floating(node: Any) -> bool:
    from tensorflow import dtypes

    return bool(dtypes.as_dtype(node.attr["dtype"].type).is_floating)
