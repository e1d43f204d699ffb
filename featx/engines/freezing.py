"""Freezing functions of TensorFlow: variables become constants, and nothing is random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featx.engines.augmentation import Augmentation
from featx.engines.graph_nodes import dependents
from featx.engines.randomness import DRAWS, require_repeatable
from featx.errors import ModelError, first_line

_WRITES = frozenset(("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"))
"""Operations that write variables and give no tensor."""


def needs_freezing(concrete: Any) -> bool:
    """Whether a concrete function writes variables or draws random numbers, as in training."""
    kinds = {node.type for node in concrete.graph.get_operations()}
    return bool(kinds & _WRITES) or any(DRAWS.match(kind) for kind in kinds)


def freeze_function(concrete: Any) -> tuple[Any, bool]:
    """Return a concrete function without variables and random numbers.

    Networks that Keras 3 exports with layers of random augmentation run as in training: they draw
    numbers from a seed and write the next seed, and batch normalisation takes the mean of the
    batch and writes its moving average. Frozen like that, the features of an image would depend on
    its position in the batch and on the other images. So they are made to run as in inference:
    layers of augmentation are left out, crops are central, and batch normalisation takes its
    moving averages.

    Returns:
        The function, and whether it ran as in training.

    Raises:
        ModelError: If it writes variables in another way, or draws numbers that matter.
    """
    function, trains = _freeze(concrete)
    require_repeatable(function)
    return function, trains


def inline_function(concrete: Any) -> Any:
    """Return the graph of a function, with the functions that it calls in their places.

    Its weights are not in it: variables are captured inputs, as in the function's own graph.
    """
    from tensorflow.python.framework import convert_to_constants as converting

    return converting._run_inline_graph_optimization(concrete, True, False)


def _freeze(concrete: Any) -> tuple[Any, bool]:
    """Freeze a function; see `freeze_function`, which checks the result."""
    from tensorflow.python.framework import convert_to_constants as converting

    try:
        return converting.convert_variables_to_constants_v2(concrete), False
    except ValueError as error:  # A constant where an operation takes a variable.
        if "expected resource" not in str(error):
            raise
        # What the public function does, step by step.
        data = converting._FunctionConverterDataInEager(
            func=concrete, lower_control_flow=True, aggressive_inlining=False
        )
        graph, converted = converting._replace_variables_by_constants(converter_data=data)
        draws, trains = _stop_writing(graph)
        if draws:
            outputs = [tensor.name for tensor in concrete.outputs]
            Augmentation(graph, concrete.inputs[0].name, outputs).leave_out(draws)
        try:
            function = converting._construct_concrete_function(concrete, graph, converted)
        except ValueError as reason:
            raise ModelError(
                "The model changes its variables while it runs, in a way that featx cannot leave "
                f"out: {first_line(reason)} Export it for inference."
            ) from error
        return function, trains or bool(draws)


def _stop_writing(graph: Any) -> tuple[list[str], bool]:
    """Remove what writes variables.

    Returns:
        Nodes that draw random numbers, and whether moving averages were written.
    """
    nodes = {node.name: node for node in graph.node}
    writes = [node for node in graph.node if node.op in _WRITES]
    pictures = [node.name for node in graph.node if node.op == "Placeholder"]
    trained = dependents(pictures, graph.node)
    averages = [node for node in writes if node.name in trained]
    replaced = dict(_find_average(node, nodes) for node in averages)
    seeds = {_source(node.input[0], nodes) for node in writes if node.name not in trained}
    dropped = {node.name for node in writes}
    kept = [node for node in graph.node if node.name not in dropped]
    for node in kept:
        inputs = [each for each in node.input if each.removeprefix("^") not in dropped]
        node.input[:] = [replaced.get(each, each) for each in inputs]
    dependent = dependents(seeds, kept)
    draws = [node.name for node in kept if node.name in dependent and DRAWS.match(node.op)]
    del graph.node[:]
    graph.node.extend(kept)
    return draws, bool(averages)


def _find_average(write: Any, nodes: Mapping[str, Any]) -> tuple[str, str]:
    """Return the mean of a batch that a moving average is updated with, and that average.

    The update is `average * momentum + mean * (1 - momentum)`.
    """
    average = _source(write.input[0], nodes)
    terms = []
    update = nodes.get(_source(write.input[1], nodes)) if write.op == "AssignVariableOp" else None
    if update is not None and update.op in ("Add", "AddV2"):
        terms = [nodes.get(_source(tensor, nodes)) for tensor in update.input[:2]]
    factors = [
        list(term.input[:2]) if term is not None and term.op == "Mul" else [] for term in terms
    ]
    for old, new in (factors, factors[::-1]) if len(factors) == 2 and all(factors) else ():
        if _source(old[0], nodes) == average:
            return new[0], average
    raise ModelError(
        f"The network changes its variables by the pictures (node {write.name!r}), as in training. "
        "Export it for inference."
    )


def _source(tensor: str, nodes: Mapping[str, Any], copies: Sequence[str] = ("Identity",)) -> str:
    """Return the node that a tensor is a copy of."""
    name = tensor.partition(":")[0]
    while name in nodes and nodes[name].op in copies:
        name = nodes[name].input[0].partition(":")[0]
    return name
