"""Frozen graphs of TensorFlow 1: ``.pb`` files with weights as constants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.engines.tensorflow_graph import FrozenGraph
from featx.errors import ModelError, first_line
from featx.files import hash_file
from featx.models.backbone import ModelRequest
from featx.models.description import ModelDescription
from featx.models.free_inputs import ChosenInputs, describe_constants
from featx.models.graph_backbone import GraphBackbone
from featx.models.graph_code import refuse_operations
from featx.models.graph_inputs import find_input
from featx.models.graph_layers import GraphLayers, require_layers
from featx.models.inner_scaling import own_contract
from featx.models.input_contract import (
    image_contract,
    refuse_weights,
    scale_for_dtype,
)
from featx.specs import ModelSpec, split_constants

_VARIABLES = frozenset(["VarHandleOp", "VariableV2", "Variable", "ReadVariableOp"])


def load(request: ModelRequest) -> GraphBackbone:
    """Load a frozen GraphDef; see `featx.models.load_model`."""
    path = Path(request.name).absolute()
    refuse_weights(request, "frozen graph")
    graph_def = _read(path)
    if not request.trust_model_code:
        refuse_operations(path, graph_def)
    chosen = request.arguments.get("input")
    arguments, constants = split_constants(request.arguments)
    found = find_input(
        graph_def,
        None if chosen is None else str(chosen),
        dict(constants),
        path.name,
        "graphdef:FILE.pb,input=NAME",
    )
    shape, dtype = found.shape, found.dtype
    # A frozen graph may state the size that it was trained at, and take any other.
    own = image_contract(shape, request.overrides.size, path.name, fixed=False)
    results = _find_results(graph_def)
    try:
        graph = FrozenGraph.from_graph_def(
            graph_def,
            found.tensor,
            [f"{result}:0" for result in results],
            shape.batch(own),
            dtype,
            found.constants,
        )
    except ValueError as error:
        raise ModelError(
            f"TensorFlow cannot run the graph {path.name!r} on {own.height} x "
            f"{own.width} images: {first_line(error)}"
        ) from error
    layers = GraphLayers(graph, results, "output", channels_first=shape.channels_first)
    require_layers(layers.layers, path.name)
    contract = request.overrides.apply(own_contract(own, layers.inner_scaling))
    contract = scale_for_dtype(contract, dtype.is_integer, path.name)
    spec = ModelSpec(
        source="graphdef",
        name=path.name,
        arguments=arguments,
        constants=constants,
        location=str(path),
        weights_sha256=hash_file(path),
        input=contract,
    )
    description = ModelDescription(
        spec,
        layers.layers,
        channels_first=shape.channels_first,
        notes=describe_constants(ChosenInputs(found.tensor, found.constants), dict(constants)),
        inner_scaling=layers.inner_scaling,
        any_size=shape.takes_any_size(request.overrides.size),
    )
    return GraphBackbone(description, layers.compile)


def _find_results(graph_def: Any) -> list[str]:
    """Return the names of the operations whose values no other takes."""
    used = {name.split(":")[0].lstrip("^") for node in graph_def.node for name in node.input}
    return [
        node.name
        for node in graph_def.node
        if node.name not in used and node.op not in ("Const", "Placeholder", "NoOp", "Assert")
    ]


def _read(path: Path) -> Any:
    tensorflow = import_tensorflow()
    if not path.is_file():
        raise ModelError(f"There is no graph file {str(path)!r}.")
    graph_def = tensorflow.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError, which is no public name of TensorFlow.
        raise ModelError(f"{str(path)!r} is not a GraphDef: {first_line(error)}") from error
    if not graph_def.node:
        raise ModelError(
            f"{str(path)!r} is a GraphDef without operations. The saved_model.pb of a SavedModel "
            "is named by its folder: savedmodel:DIR."
        )
    variables = [node.name for node in graph_def.node if node.op in _VARIABLES]
    if variables:
        raise ModelError(
            f"The graph {path.name!r} is not frozen: its weights are {len(variables)} variables "
            f"({variables[0]!r}, ...), which are in a checkpoint. Freeze it, or use the SavedModel."
        )
    return graph_def
