"""Graphs of TensorFlow whose variables have become constants, for any engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from featx.engines.freezing import needs_freezing
from featx.engines.graph import TENSORFLOW, GraphOutput, Layout, NetworkGraph, NotConvertible
from featx.engines.graph_nodes import ancestors
from featx.engines.tensorflow import import_tensorflow


def take_constant_graph(function: Any, tensors: Mapping[str, Any]) -> Any:
    """Return the graph of some tensors of a traced function, with nothing beyond them.

    Args:
        function: A concrete function.
        tensors: Layers → tensors of its graph.

    Returns:
        A GraphDef; None where that needs more than constants in place of variables: functions
        inside it, random numbers, tables, variables that are written or looked up.
    """
    if needs_freezing(function):
        return None
    graph_def = with_constants(function, [tensor.op.name for tensor in tensors.values()])
    if graph_def is None:
        return None
    images = function.inputs[0].op.name
    for node in graph_def.node:
        is_open = node.op.startswith("Placeholder") and node.name != images
        if is_open or _calls(node) or _uses_resources(node):
            return None
    graph_def.ClearField("library")
    return graph_def


def _calls(node: Any) -> bool:
    """Whether a node runs a function of the graph's library."""
    return any(value.HasField("func") or value.list.func for value in node.attr.values())


def _uses_resources(node: Any) -> bool:
    resource = import_tensorflow().resource.as_datatype_enum
    return any(resource in (value.type, *value.list.type) for value in node.attr.values())


def with_constants(function: Any, needed: list[str] | None = None) -> Any:
    """Return the graph of a function with constants in place of its variables.

    Like `convert_variables_to_constants_v2`, but without its optimiser: 3 s instead of 39 s for
    VGG19, with a peak of 3.7 instead of 7.4 GB (``benchmarks/LOG.md``). The engine that gets the
    graph optimises it.

    Args:
        function: A concrete function.
        needed: Nodes that are needed, with what they depend on; all when None.

    Returns:
        A GraphDef; None if variables are used in any other way, such as by inner functions.
    """
    tensorflow = import_tensorflow()
    variables = {id(variable.handle): variable for variable in function.variables}
    values = {
        internal.op.name: variables[id(external)]
        for external, internal in function.graph.captures
        if id(external) in variables
    }
    graph_def = function.graph.as_graph_def()
    nodes = graph_def.node
    if needed is not None:
        names = ancestors(needed, nodes)
        nodes = [node for node in nodes if node.name in names]
        for node in nodes:  # Those that only have to run before are no values.
            node.input[:] = [each for each in node.input if not each.startswith("^")]
    result = tensorflow.compat.v1.GraphDef(versions=graph_def.versions, library=graph_def.library)
    # Copied before weights are in it.
    result.node.extend(node for node in nodes if node.name not in values)
    for node in result.node:
        sources = [source for source in node.input if source.split(":")[0].lstrip("^") in values]
        if not sources:
            continue
        if node.op != "ReadVariableOp":
            return None
        value = values[sources[0].split(":")[0]].numpy()
        node.op = "Const"
        del node.input[:]
        node.attr["value"].tensor.CopyFrom(tensorflow.make_tensor_proto(value))
    return result


def add_copies(graph_def: Any, tensors: Mapping[str, Any]) -> dict[str, str]:
    """Add a copy of each layer to a graph: only what nothing else takes is a result of it.

    Returns:
        Layer → the node that is its copy.
    """
    copies = {}
    for number, (layer, tensor) in enumerate(tensors.items()):
        copy = graph_def.node.add(name=f"featx_output_{number}", op="Identity")
        copy.input.append(tensor.name)
        copy.attr["T"].type = tensor.dtype.as_datatype_enum
        copies[layer] = copy.name
    return copies


def make_network_graph(
    graph_def: Any,
    images: str,
    copies: Mapping[str, str],
    layouts: tuple[Layout, Mapping[str, Layout | None]],
) -> NetworkGraph:
    """Return a graph without variables for an engine.

    Args:
        graph_def: The graph.
        images: The node that takes scaled images.
        copies: From `add_copies`.
        layouts: The layout of the images, and that of each layer, None for what is not a map.

    Raises:
        NotConvertible: If it is too large to be written.
    """
    try:
        content = graph_def.SerializeToString()
    except Exception as error:  # protobuf's EncodeError, or a ValueError, by its version.
        raise NotConvertible("its graph is larger than 2 GiB") from error
    input_layout, output_layouts = layouts
    outputs = {layer: GraphOutput(name, output_layouts[layer]) for layer, name in copies.items()}
    return NetworkGraph(TENSORFLOW, content, images, input_layout, outputs)
