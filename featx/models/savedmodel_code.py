"""Operations that SavedModels bring for their own files: saving, restoring, tables from assets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from featx.models.graph_code import called_functions, node_lists, refuse_operations

_SAVING = frozenset(("Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints"))
_RESTORING = frozenset(("Restore", "RestoreSlice", "RestoreV2"))
_FILLING_TABLES = frozenset(("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"))
_CALLS = frozenset(("PartitionedCall", "StatefulPartitionedCall"))
_INITIALIZING = "__saved_model_init_op"


def refuse_saved_operations(folder: Path, content: Any, meta: Any) -> None:
    """Refuse a SavedModel that would do more than compute, but for what it does with its own files.

    Args:
        folder: Where it is.
        content: The SavedModel message.
        meta: The one of its MetaGraphDefs that is loaded.

    Raises:
        ModelError: If it would.
    """
    # As TensorFlow decides it: objects and their functions, or the graph of TensorFlow 1.
    has_objects = len(content.meta_graphs) == 1 and meta.HasField("object_graph_def")
    own = _ObjectFiles(folder, meta) if has_objects else _GraphFiles(folder, meta)
    refuse_operations(folder, meta.graph_def, own.excuses)


class _OwnFiles:
    """What both kinds of SavedModels have: a saver that nobody runs here, and assets."""

    def __init__(self, folder: Path, meta: Any) -> None:
        self._folder = folder
        self._meta = meta
        self._nodes = {node.name: node for node in meta.graph_def.node}
        self._library = {f.signature.name: f for f in meta.graph_def.library.function}

    def _called(self, nodes: Iterable[Any]) -> set[str]:
        """Return the functions of the library that nodes call, and those that these call."""
        found: set[str] = set()
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            for name in (node.op, *called_functions(node)):
                if name in self._library and name not in found:
                    found.add(name)
                    waiting += self._library[name].node_def
        return found

    def _ancestors(self, tensors: Iterable[str]) -> dict[str, Any]:
        """Return the nodes of the graph that run for tensors, by name."""
        found: dict[str, Any] = {}
        waiting = list(tensors)
        while waiting:
            name = _node_of(waiting.pop())
            if name in self._nodes and name not in found:
                found[name] = self._nodes[name]
                waiting += self._nodes[name].input
        return found

    def _is_inside(self, filename: str) -> bool:
        """Whether an asset is a file of the model.

        Caches of downloads keep all files of a model in one folder, and link to them.
        """
        asset = (self._folder / "assets" / filename).resolve()
        beside = (self._folder / "saved_model.pb").resolve().parent
        return asset.is_relative_to(self._folder.resolve()) or asset.parent == beside


class _ObjectFiles(_OwnFiles):
    """A SavedModel of TensorFlow 2: functions of objects run, and nothing of its graph.

    TensorFlow restores the variables itself. The graph is there for other programs.
    """

    def __init__(self, folder: Path, meta: Any) -> None:
        super().__init__(folder, meta)
        self._concrete: Mapping[str, Any] = meta.object_graph_def.concrete_functions
        names = [name for name in self._concrete if name in self._library]
        running = {*names, *self._called(n for name in names for n in self._library[name].node_def)}
        saver = meta.saver_def
        saving = self._ancestors([saver.save_tensor_name, saver.restore_op_name])
        self._saver = self._called(saving.values()) - running
        self._calls: dict[str, list[tuple[str, Any]]] = {}
        for function, nodes in node_lists(meta.graph_def):
            if function:
                for node in nodes:
                    for name in self._called_directly(node):
                        self._calls.setdefault(name, []).append((function, node))

    def excuses(self, function: str, node: Any) -> bool:
        """Whether a node never runs here, or reads an asset of the model."""
        if node.op in _SAVING | _RESTORING:
            return not function or function in self._saver
        if node.op in _FILLING_TABLES and len(node.input) > 1:
            return not function or self._is_asset(function, node.input[1], frozenset())
        return False

    def _called_directly(self, node: Any) -> set[str]:
        return {name for name in (node.op, *called_functions(node)) if name in self._library}

    def _is_asset(self, function: str, tensor: str, callers: frozenset[str]) -> bool:
        """Whether a tensor of a function is the path of an asset, whoever calls the function."""
        arguments = [each.name for each in self._library[function].signature.input_arg]
        is_bound = function in self._concrete
        if tensor not in arguments or function in callers:
            return False
        if not is_bound and function not in self._calls:
            return False
        position = arguments.index(tensor)
        if is_bound and not self._binds_asset(function, position - len(arguments)):
            return False
        return all(
            (node.op == function or node.op in _CALLS)
            and len(node.input) > position
            and self._is_asset(caller, node.input[position], callers | {function})
            for caller, node in self._calls.get(function, [])
        )

    def _binds_asset(self, function: str, position: int) -> bool:
        """Whether an argument, counted from the last, is always an asset inside the model."""
        bound = self._concrete[function].bound_inputs
        if -position > len(bound):
            return False
        objects = self._meta.object_graph_def.nodes
        if not 0 <= bound[position] < len(objects):
            return False
        node = objects[bound[position]]
        assets = self._meta.asset_file_def
        if node.WhichOneof("kind") != "asset" or node.asset.asset_file_def_index >= len(assets):
            return False
        return self._is_inside(assets[node.asset.asset_file_def_index].filename)


class _GraphFiles(_OwnFiles):
    """A SavedModel of TensorFlow 1: of its graph run the signatures, restoring, initialising."""

    def __init__(self, folder: Path, meta: Any) -> None:
        super().__init__(folder, meta)
        signatures, initializing = self._outputs()
        self._restoring = self._ancestors([meta.saver_def.restore_op_name])
        self._signatures = self._ancestors(signatures)
        self._initializing = self._ancestors(initializing)
        self._running = self._restoring | self._signatures | self._initializing
        running_functions = self._called(self._running.values())
        self._saver = self._called(self._nodes.values()) - running_functions
        self._assets = {
            _node_of(asset.tensor_info.name): asset.filename for asset in self._asset_files()
        }

    def _outputs(self) -> tuple[list[str], list[str]]:
        """Return what signatures give, and what initialises the graph or its variables."""
        from tensorflow.core.framework import variable_pb2

        signatures: list[str] = []
        initializing: list[str] = []
        for name, signature in self._meta.signature_def.items():
            outputs = initializing if name == _INITIALIZING else signatures
            for tensor in signature.outputs.values():
                coded = tensor.coo_sparse
                outputs += [tensor.name, coded.values_tensor_name, coded.indices_tensor_name]
                outputs += [coded.dense_shape_tensor_name]
                outputs += [part.name for part in tensor.composite_tensor.components]
        for name, collection in self._meta.collection_def.items():
            initializing += collection.node_list.value
            if name == "local_variables":
                for value in collection.bytes_list.value:
                    variable = variable_pb2.VariableDef.FromString(value)
                    initializing.append(variable.initializer_name)
        return signatures, initializing

    def _asset_files(self) -> list[Any]:
        """Return the assets, from where TensorFlow takes them."""
        from tensorflow.core.protobuf import meta_graph_pb2

        if self._meta.asset_file_def:
            return list(self._meta.asset_file_def)
        assets = []
        for packed in self._meta.collection_def["saved_model_assets"].any_list.value:
            asset = meta_graph_pb2.AssetFileDef()
            packed.Unpack(asset)
            assets.append(asset)
        return assets

    def excuses(self, function: str, node: Any) -> bool:
        """Whether a node never runs here, or reads the model's own checkpoint or asset."""
        if node.op in _SAVING | _RESTORING:
            if function:
                return function in self._saver
            return node.name not in self._running or self._restores(node)
        if node.op in _FILLING_TABLES and not function and len(node.input) > 1:
            asset = self._assets.get(self._source(node.input[1]))
            runs_otherwise = node.name in self._restoring | self._signatures
            return asset is not None and not runs_otherwise and self._is_inside(asset)
        return False

    def _restores(self, node: Any) -> bool:
        """Whether a node runs only to restore, from the path that TensorFlow is given."""
        runs_otherwise = node.name in self._signatures or node.name in self._initializing
        filename = _node_of(self._meta.saver_def.filename_tensor_name)
        is_given = bool(node.input) and self._source(node.input[0], filename) == filename
        return node.op in _RESTORING and is_given and not runs_otherwise

    def _source(self, tensor: str, until: str = "") -> str:
        """Return the node that a tensor is a copy of."""
        name = _node_of(tensor)
        for _ in range(len(self._nodes)):
            node = self._nodes.get(name)
            if node is None or name == until or node.op != "Identity" or not node.input:
                break
            name = _node_of(node.input[0])
        return name


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]
