"""SavedModels of TensorFlow 1 without a signature, by the input that images replace."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from featx.engines.graph_nodes import dependents, node_of
from featx.engines.tensorflow_graph import FrozenGraph
from featx.errors import ModelError
from featx.models.free_inputs import ChosenInputs, bind_inputs
from featx.models.graph_code import refuse_operations
from featx.models.graph_inputs import GraphInput, find_input
from featx.models.input_contract import InputShape

_WRITES = ("Apply", "Assign", "ResourceApply", "Scatter", "ResourceScatter")
"""How the names of operations begin that write variables, as in training."""


def has_graph(loaded: Any) -> bool:
    """Whether a loaded SavedModel is one graph, as TensorFlow 1 saved it."""
    return hasattr(loaded, "prune") and hasattr(loaded, "graph")


def freeze_input(
    loaded: Any,
    chosen: str | None,
    given: Mapping[str, Any],
    path: Path,
    *,
    trust_model_code: bool,
) -> tuple[FrozenGraph, InputShape, list[str]]:
    """Freeze all that images decide, from one input of the graph on.

    Args:
        loaded: The model; see `has_graph`.
        chosen: The operation whose result images replace; None for the only input of numbers.
        given: Constants for other inputs by their names.
        path: The model, for messages.
        trust_model_code: Run operations that do more than compute.

    Returns:
        The graph, what its input takes, and the names of its results: of operations that no other
        one uses.

    Raises:
        ModelError: If the input is not clear, or nothing depends on it alone.
        UnknownName: If there is no such operation.
    """
    graph_def = loaded.graph.as_graph_def()
    remedy = f"savedmodel:{path.name},input=NAME"
    found = find_input(graph_def, chosen, given, path.name, remedy)
    tensor, shape = found.tensor, found.shape
    results = _find_results(graph_def, node_of(tensor), found.constants)
    results = [name for name in results if loaded.graph.get_operation_by_name(name).outputs]
    if not results:
        raise ModelError(
            f"Nothing in {path.name!r} depends on {node_of(tensor)!r} alone. Choose another "
            f"operation whose result images replace: {remedy}."
        )
    fetches = [f"{name}:0" for name in results]
    function = loaded.prune([tensor, *(f"{name}:0" for name in found.constants)], fetches)
    if not trust_model_code:  # What no signature runs was not judged when it was loaded.
        refuse_operations(path, function.graph.as_graph_def())
    if found.constants:
        function = _bind(function, found)
    return FrozenGraph(function), shape, results


def _bind(function: Any, found: GraphInput) -> Any:
    """Return a function of images alone: its further inputs are constants."""
    names = ["", *found.constants]
    specs = dict(zip(names, function.inputs, strict=False))
    choice = ChosenInputs("", found.constants)
    return bind_inputs(
        function, specs, choice, lambda tensors: function(*(tensors[name] for name in names))
    )


def _find_results(graph: Any, operation: str, constants: Container[str]) -> list[str]:
    """Return what is computed from an input, without other inputs, and used by nothing else."""
    others = [
        node.name
        for node in graph.node
        if node.name != operation
        and node.name not in constants
        and (node.op == "Placeholder" or node.op.startswith(_WRITES))
    ]
    own = dependents([operation], graph.node) - dependents(others, graph.node)
    used = {node_of(each) for node in graph.node if node.name in own for each in node.input}
    return [node.name for node in graph.node if node.name in own - used - {operation}]
