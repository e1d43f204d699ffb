"""Operations of graphs that write files or run Python: found before a graph is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from featx.models.model_code import SAVER_OPERATIONS, is_unsafe_operation, refuse_code


def refuse_operations(path: Path, graphs: Iterable[Any], *, are_meta_graphs: bool = False) -> None:
    """Refuse graphs that would write files or run Python.

    Args:
        path: The model.
        graphs: GraphDefs, or MetaGraphDefs.
        are_meta_graphs: Whether they are MetaGraphDefs: in these, what only their saver runs may
            write the variables.

    Raises:
        ModelError: If there is such an operation, in a graph or in a function of its library.
    """
    found: dict[str, None] = {}
    for entry in graphs:
        graph = entry.graph_def if are_meta_graphs else entry
        saver = _Saver(entry) if are_meta_graphs else None
        for function, nodes in [("", graph.node)] + [
            (function.signature.name, function.node_def) for function in graph.library.function
        ]:
            by_name = {node.name: node for node in nodes}
            for node in nodes:
                is_saver = node.op in SAVER_OPERATIONS and saver is not None
                if is_saver and saver.owns(function, node.name):  # type: ignore[union-attr]
                    continue
                stream = node.attr["output_stream"].s if node.op == "PrintV2" else b""
                is_unsafe = is_unsafe_operation(node.op) and not _caches_in_memory(node, by_name)
                if is_unsafe or stream.startswith(b"file:"):
                    found[f"the operation {node.op} ({node.name!r})"] = None
    refuse_code(path, found)


class _Saver:
    """The nodes and functions of a MetaGraphDef that save it, and that nothing else runs.

    Of the graph itself, TensorFlow runs the nodes before signatures, the restoring and the
    initialising; graphs are left with nodes of several savers besides.
    """

    def __init__(self, meta: Any) -> None:
        graph = meta.graph_def
        self._library = {f.signature.name: f.node_def for f in graph.library.function}
        nodes = {node.name: node for node in graph.node}
        saving = _ancestors([meta.saver_def.save_tensor_name], nodes)
        outputs = [meta.saver_def.restore_op_name]
        for signature in meta.signature_def.values():
            for tensor in signature.outputs.values():
                coded = tensor.coo_sparse
                outputs += [tensor.name, coded.values_tensor_name, coded.indices_tensor_name]
                outputs += [coded.dense_shape_tensor_name]
                outputs += [part.name for part in tensor.composite_tensor.components]
        for collection in meta.collection_def.values():  # Those of what initialises it, too.
            outputs += collection.node_list.value
        running = _ancestors(outputs, nodes)
        running_functions = [*meta.object_graph_def.concrete_functions]
        running_functions += self._called(nodes[name] for name in running)
        self._running = running
        self._functions = self._closure(
            self._called(nodes[name] for name in saving)
        ) - self._closure(running_functions)

    def owns(self, function: str, node: str) -> bool:
        """Whether a node, of a function or ("") of the graph, never runs but to save."""
        return function in self._functions if function else node not in self._running

    def _called(self, nodes: Iterable[Any]) -> list[str]:
        names: list[str] = []
        for node in nodes:
            names.append(node.op)
            for value in node.attr.values():
                names += [value.func.name, *(each.name for each in value.list.func)]
        return [name for name in names if name in self._library]

    def _closure(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found and name in self._library:
                found.add(name)
                waiting += self._called(self._library[name])
        return found


def _ancestors(tensors: Iterable[str], nodes: Mapping[str, Any]) -> set[str]:
    """Return the names of the nodes that run for tensors."""
    found: set[str] = set()
    waiting = list(tensors)
    while waiting:
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if name in nodes and name not in found:
            found.add(name)
            waiting += nodes[name].input
    return found


def _caches_in_memory(node: Any, nodes: Mapping[str, Any]) -> bool:
    """Whether a node caches a dataset without a file: its file name is the constant ""."""
    if node.op not in ("CacheDataset", "CacheDatasetV2") or len(node.input) < 2:
        return False
    source = nodes.get(node.input[1].partition(":")[0])
    if source is None or source.op != "Const":
        return False
    value = source.attr["value"].tensor
    return not any(value.string_val) and not value.tensor_content
