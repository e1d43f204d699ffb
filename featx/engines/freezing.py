"""Variables become constants: what a graph would write is dropped, what it draws is fixed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from featx.errors import ModelError, first_line

_WRITES = frozenset(("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"))
"""Operations that write variables and give no tensor."""

_DRAWS = re.compile("Stateless(Random(?!Get)|TruncatedNormal|Multinomial|Shuffle|.*Sample|Param)")
"""Operations that draw random numbers from a seed that they are given."""

_MIDDLES = {
    "StatelessRandomUniformV2": 0.5,
    "StatelessRandomNormalV2": 0.0,
    "StatelessTruncatedNormalV2": 0.0,
}
"""Of these → the middle of what they draw."""

_DECISIONS = frozenset(("Cast", "Less", "LessEqual", "Greater", "GreaterEqual"))
"""What is done with a drawn number that no picture is changed by as such."""


def freeze_function(concrete: Any) -> tuple[Any, bool]:
    """Return a concrete function with constants in the place of variables.

    Networks that Keras 3 exports with layers of random augmentation run as in training: they draw
    numbers from a seed and write the next seed, and batch normalisation takes the mean of the
    batch and writes its moving average. Frozen like that, a picture's features would depend on
    where in a batch it is, and on the other pictures. So they are made to run as in inference:
    what is drawn becomes what leaves pictures as they are, or else the middle of its range (crops);
    batch normalisation takes its moving averages.

    Returns:
        The function, and whether it ran as in training.

    Raises:
        ModelError: If it writes variables in another way, or draws numbers that have no middle.
    """
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
        trains = _infer(graph)
        try:
            function = converting._construct_concrete_function(concrete, graph, converted)
        except ValueError as reason:
            raise ModelError(
                "The model changes its variables while it runs, in a way that featx cannot leave "
                f"out: {first_line(reason)} Export it for inference."
            ) from error
        return function, trains


def _infer(graph: Any) -> bool:
    """Make a graph that writes variables run as in inference; return if it ran otherwise."""
    nodes = {node.name: node for node in graph.node}
    writes = [node for node in graph.node if node.op in _WRITES]
    pictures = [node.name for node in graph.node if node.op == "Placeholder"]
    trained = _dependents(pictures, graph.node)
    averages = [node for node in writes if node.name in trained]
    replaced = dict(_find_average(node, nodes) for node in averages)
    seeds = {_source(node.input[0], nodes) for node in writes if node.name not in trained}
    dropped = {node.name for node in writes}
    kept = [node for node in graph.node if node.name not in dropped]
    for node in kept:
        inputs = [each for each in node.input if each.removeprefix("^") not in dropped]
        node.input[:] = [replaced.get(each, each) for each in inputs]
    dependent = _dependents(seeds, kept)
    draws = [node for node in kept if node.name in dependent and _DRAWS.match(node.op)]
    values = [_choose_value(node, kept) for node in draws]
    constants = [_fix(node, value) for node, value in zip(draws, values, strict=True)]
    del graph.node[:]
    graph.node.extend([*kept, *constants])
    return bool(draws or averages)


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


def _choose_value(node: Any, nodes: Sequence[Any]) -> float:
    """Choose what a node that draws numbers gives, as in inference.

    Keras scales uniform numbers: `number * (high - low) + low`. Of that, an angle, a shift or a
    brightness is 0, and a zoom or a contrast 1, where the picture stays as it is. What is compared
    decides for one half of all pictures, such as whether to flip them: just above the middle it is
    for none. What becomes a whole number is where a crop begins: in the middle.
    """
    if node.op not in _MIDDLES:
        raise ModelError(
            "The network computes with random numbers, which would make features depend on where "
            f"in a batch a picture is: {node.op} (node {node.name!r}). Export it without the layer "
            "that draws them."
        )
    middle = _MIDDLES[node.op]
    by_name = {each.name: each for each in nodes}
    for product in (each for each in nodes if each.op == "Mul" and each.input[0] == node.name):
        width = by_name.get(product.input[1])
        for scaled in (each for each in nodes if list(each.input[:1]) == [product.name]):
            users = {each.op for each in nodes if scaled.name in each.input}
            if width is None or width.op != "Sub" or users & _DECISIONS:
                continue
            high, low = (_constant(tensor, by_name) for tensor in width.input[:2])
            if high is None or low is None or not low < high:
                continue
            neutral = 1.0 if low > 0 or low + high == 2 else 0.0
            if low <= neutral <= high:
                return (neutral - low) / (high - low)
    return float(np.nextafter(np.float32(middle), np.float32(1))) if middle else middle


def _constant(tensor: str, nodes: Mapping[str, Any]) -> float | None:
    """Return the value of a tensor that is one number."""
    import tensorflow

    node = nodes.get(_source(tensor, nodes, ("Identity", "Cast")))
    if node is None or node.op != "Const":
        return None
    value = tensorflow.make_ndarray(node.attr["value"].tensor)
    return float(value) if value.size == 1 else None


def _fix(node: Any, value: float) -> Any:
    """Make a node that draws numbers a filling with one; return the node of that."""
    import tensorflow
    from tensorflow.core.framework import node_def_pb2

    dtype = node.attr["dtype"].type
    constant = node_def_pb2.NodeDef(name=f"{node.name}/fixed", op="Const")
    constant.attr["dtype"].type = dtype
    constant.attr["value"].tensor.CopyFrom(tensorflow.make_tensor_proto(value, dtype))
    filled = node_def_pb2.NodeDef(name=node.name, op="Fill", device=node.device)
    filled.input.extend([node.input[0], constant.name])
    filled.attr["T"].type = dtype
    filled.attr["index_type"].type = node.attr["Tshape"].type
    node.CopyFrom(filled)
    return constant


def _source(tensor: str, nodes: Mapping[str, Any], copies: Sequence[str] = ("Identity",)) -> str:
    """Return the node that a tensor is a copy of."""
    name = tensor.partition(":")[0]
    while name in nodes and nodes[name].op in copies:
        name = nodes[name].input[0].partition(":")[0]
    return name


def _dependents(names: Iterable[str], nodes: Iterable[Any]) -> set[str]:
    """Return the names of the nodes whose values depend on nodes."""
    users: dict[str, list[str]] = {}
    for node in nodes:
        for tensor in node.input:
            users.setdefault(tensor.partition(":")[0], []).append(node.name)
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += users.get(name, [])
    return found
