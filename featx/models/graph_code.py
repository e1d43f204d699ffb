"""Operations of graphs that do more than compute: found before a graph is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from featx.errors import ModelError
from featx.models.model_code import refuse_code
from featx.models.operations import (
    computing_operations,
    describe_operation,
    operations_that_need_trust,
)

_LISTED = 5
"""Operations that an error names; a graph may hold hundreds."""

Excuse = Callable[[str, Any], bool]
"""Whether a node, of the function of a name or ("") of the graph itself, cannot do harm."""


def refuse_operations(path: Path, graph: Any, excuse: Excuse | None = None) -> None:
    """Refuse a graph that would do more than compute, wherever in it.

    Functions that nothing calls are read as well: only TensorFlow knows what calls them.

    Args:
        path: The model.
        graph: A GraphDef.
        excuse: Allows a node whose operation needs trust.

    Raises:
        ModelError: If there is such an operation, in the graph or in a function of its library, or
            one that TensorFlow does not have.
    """
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, where in _find_operations(graph, excuse):
        (missing if _is_missing(name) else found).setdefault(name, where)
    described = [f"{describe_operation(name)} ({where})" for name, where in found.items()]
    if len(described) > _LISTED:
        described[_LISTED:] = [f"{len(described) - _LISTED} other operations that need trust"]
    refuse_code(path, dict.fromkeys(described))
    for name, where in missing.items():
        raise ModelError(
            f"TensorFlow cannot load {path.name!r}: it knows no operation or function {name!r} "
            f"({where}). The model was made with another version of TensorFlow, or with a package "
            "that adds operations; in Python, import that package first."
        )


def _is_missing(name: str) -> bool:
    """Whether TensorFlow, with all that is loaded, has no operation of a name."""
    from tensorflow.python.framework import op_def_registry

    return name not in operations_that_need_trust() and op_def_registry.get(name) is None


def _find_operations(graph: Any, excuse: Excuse | None) -> Iterator[tuple[str, str]]:
    """Yield each operation that needs trust or is unknown, and where it is."""
    functions = {function.signature.name for function in graph.library.function}
    harmless = computing_operations() | (functions - operations_that_need_trust().keys())
    for function, nodes in node_lists(graph):
        for node in nodes:
            if node.op not in harmless and not (
                _caches_in_memory(node, nodes) or (excuse and excuse(function, node))
            ):
                yield node.op, _locate(node, function)
            # A function that is not in the library would be taken from the process.
            for called in called_functions(node):
                if called not in harmless:
                    yield called, _locate(node, function)


def _locate(node: Any, function: str) -> str:
    return f"node {node.name!r}" + (f" of the function {function!r}" if function else "")


def node_lists(graph: Any) -> Iterator[tuple[str, Iterable[Any]]]:
    """Yield the nodes of a GraphDef, named "", then those of each function of its library."""
    yield "", graph.node
    for function in graph.library.function:
        yield function.signature.name, function.node_def


def called_functions(node: Any) -> list[str]:
    """Return the functions that a node's attributes name, such as the branches of an `If`."""
    names: list[str] = []
    for value in node.attr.values():
        kind = value.WhichOneof("value")
        if kind == "func":
            names.append(value.func.name)
        elif kind == "list" and value.list.func:
            names += [function.name for function in value.list.func]
    return names


def _caches_in_memory(node: Any, nodes: Iterable[Any]) -> bool:
    """Whether a node caches a dataset without a file: its file name is the constant ""."""
    if node.op not in ("CacheDataset", "CacheDatasetV2") or len(node.input) < 2:
        return False
    name = node.input[1].partition(":")[0]
    sources = [each for each in nodes if each.name == name]
    if [source.op for source in sources] != ["Const"]:
        return False
    value = sources[0].attr["value"].tensor
    return not any(value.string_val) and not value.tensor_content
