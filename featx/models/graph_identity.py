"""The identity of a function of TensorFlow: what it computes, and the values of its variables.

It is the same in every process. Names are no part of it, which depend on what a program did before,
nor are devices, copies, and the order in which operations were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featx.engines.freezing import inline_function
from featx.engines.graph_nodes import node_of
from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.models.content_hash import hash_arrays, hash_texts

_NOT_COMPUTED = frozenset(
    ("config_proto", "container", "debug_name", "executor_type", "shared_name")
)
"""Attributes that say how an operation runs or what it is called; so do those with ``_`` first."""


def identify_function(concrete: Any, name: str) -> str:
    """Return the SHA-256 of a concrete function, in hexadecimal.

    Args:
        concrete: The function.
        name: What the model is called, for messages.

    Raises:
        ModelError: If it uses a resource that is no variable, such as a table.
    """
    graph = inline_function(concrete)
    leaves = _hash_captures(concrete, name)
    for position, tensor in enumerate(concrete.inputs):
        leaves.setdefault(tensor.op.name, f"input {position} {tensor.dtype.name}")
    functions = {each.signature.name: each for each in graph.library.function}
    digests = _Digests(graph.node, leaves, functions)
    return hash_texts(digests.of(tensor.name) for tensor in concrete.outputs)


def _hash_captures(concrete: Any, name: str) -> dict[str, str]:
    """Return the digest of each value that a function takes from around it, by its placeholder."""
    tensorflow = import_tensorflow()
    variables = {id(variable.handle): variable for variable in concrete.variables}
    digests = {}
    for external, internal in concrete.graph.captures:
        if id(external) in variables:
            values = variables[id(external)].numpy()
        elif external.dtype in (tensorflow.resource, tensorflow.variant):
            raise ModelError(
                f"{name!r} uses a resource that is no variable, such as a table: in memory, featx "
                "cannot tell whether it is the same. Save it with tf.saved_model.save, and name "
                "the folder."
            )
        else:
            values = external.numpy()
        digests[internal.op.name] = hash_arrays([values])
    return digests


class _Digests:
    """Digests of the operations of a graph: each covers all that the operation depends on.

    Args:
        nodes: The operations.
        leaves: Digests of those that come from outside.
        functions: The functions that operations call, such as bodies of loops.
    """

    def __init__(
        self, nodes: Iterable[Any], leaves: Mapping[str, str], functions: Mapping[str, Any]
    ) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._done = dict(leaves)
        self._functions = functions

    def of(self, tensor: str) -> str:
        """Return the digest of a tensor."""
        begun: set[str] = set()
        waiting = [node_of(tensor)]
        while waiting:
            name = waiting[-1]
            if name not in begun and name not in self._done:
                begun.add(name)
                sources = map(node_of, self._inputs(name))
                waiting += [each for each in sources if each not in begun]
                continue
            waiting.pop()
            if name not in self._done:
                self._done[name] = self._combine(self._nodes[name])
        return self._digest(tensor)

    def _inputs(self, name: str) -> list[str]:
        return [each for each in self._nodes[name].input if not each.startswith("^")]

    def _digest(self, tensor: str) -> str:
        """Return the digest of a tensor whose operation has one; of a loop's way back, none."""
        name, _, port = tensor.partition(":")
        digest = self._done.get(name, "loop")
        return digest if port.rpartition(":")[2] in ("", "0") else f"{digest}:{port}"

    def _combine(self, node: Any) -> str:
        inputs = [self._digest(each) for each in self._inputs(node.name)]
        if node.op == "Identity":
            return inputs[0]
        attributes = [
            f"{key}={self._describe(node.attr[key])}"
            for key in sorted(node.attr)
            if not key.startswith("_") and key not in _NOT_COMPUTED
        ]
        return hash_texts([node.op, *attributes, *inputs])

    def _describe(self, value: Any) -> str:
        if value.HasField("tensor"):
            return hash_arrays([_read_tensor(value.tensor)])
        called = [value.func] if value.HasField("func") else list(value.list.func)
        if called:
            return hash_texts(self._hash_function(each.name) for each in called)
        return str(value.SerializeToString(deterministic=True).hex())

    def _hash_function(self, name: str) -> str:
        function = self._functions[name]
        arguments = {
            each.name: f"input {position}"
            for position, each in enumerate(function.signature.input_arg)
        }
        digests = _Digests(function.node_def, arguments, self._functions)
        results: Sequence[str] = [function.ret[each.name] for each in function.signature.output_arg]
        return hash_texts(digests.of(each) for each in results)


def _read_tensor(tensor: Any) -> Any:
    values = import_tensorflow().make_ndarray(tensor)
    return values if values.dtype.kind != "O" else values.astype("S")
