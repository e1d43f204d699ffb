"""An engine: small TensorFlow graphs, computed operation by operation in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from featx.engines.engines import ComputeType, NetworkSettings, Results
from featx.engines.graph import NetworkGraph, NotConvertible
from featx.engines.layouts import channels_last, scale_for_graph
from featx.engines.stored_graph import GraphModel, read_graph, save_graph
from featx.engines.tensorflow import import_tensorflow
from featx.input_spec import InputSpec


def softmax(node: Any, x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "Identity": lambda node, x: x,
    "Mul": lambda node, x, y: x * y,
    "AddV2": lambda node, x, y: x + y,
    "BiasAdd": lambda node, x, y: x + y,
    "MatMul": lambda node, x, y: x @ y,
    "Relu": lambda node, x: np.maximum(x, 0),
    "Softmax": softmax,
    "Transpose": lambda node, x, axes: x.transpose(axes),
    "Mean": lambda node, x, axes: x.mean(
        tuple(np.atleast_1d(axes)), keepdims=node.attr["keep_dims"].b
    ),
}


class NumpyNetwork:
    concurrency = 1
    batch_size = 16

    def __init__(self, model: GraphModel) -> None:
        tensorflow = import_tensorflow()
        self.model = model
        graph_def = tensorflow.compat.v1.GraphDef.FromString(cast(bytes, model.graph.content))
        self.nodes = [node for node in graph_def.node if node.op not in ("Const", "Placeholder")]
        self.constants = {
            node.name: tensorflow.make_ndarray(node.attr["value"].tensor)
            for node in graph_def.node
            if node.op == "Const"
        }
        unknown = sorted({node.op for node in self.nodes} - {*OPERATIONS, "NoOp"})
        if unknown:
            raise NotConvertible(f"it has the operation {unknown[0]}")
        names = {node.name for node in graph_def.node}
        missing = [out.name for out in model.graph.outputs.values() if out.name not in names]
        if missing:
            raise NotConvertible(f"it has no operation {missing[0]!r}")

    def __call__(self, pixels: np.ndarray) -> Results:
        graph = self.model.graph
        images = scale_for_graph(pixels, self.model.contract, graph.input_layout)
        values = {graph.input: images, **self.constants}
        waiting = [node for node in self.nodes if node.op != "NoOp"]
        while waiting:  # Nodes of a graph need not be in the order of computation.
            node = waiting.pop(0)
            sources = [name.split(":")[0] for name in node.input if not name.startswith("^")]
            if all(source in values for source in sources):
                operands = [values[source] for source in sources]
                values[node.name] = OPERATIONS[node.op](node, *operands)
            else:
                waiting.append(node)
        return {
            name: channels_last(values[output.name], output.layout).astype(np.float32)
            for name, output in graph.outputs.items()
        }


class NumpyEngine:
    name = "numpy"
    forms = ("tensorflow",)
    precisions: tuple[ComputeType, ...] = ("float32",)

    def has_precision(self, precision: ComputeType) -> bool:
        return precision == "float32"

    def versions(self) -> Mapping[str, str]:
        return {"numpy": np.__version__}

    def convert(self, graph: NetworkGraph, contract: InputSpec) -> GraphModel:
        model = GraphModel(graph, contract)
        NumpyNetwork(model)
        return model

    def save(self, model: GraphModel, folder: Path) -> None:
        save_graph(model, folder)

    def read(self, folder: Path) -> GraphModel:
        return read_graph(folder)

    def prepare(self, model: GraphModel, precision: ComputeType) -> GraphModel:
        return model

    def open(self, model: GraphModel, settings: NetworkSettings) -> NumpyNetwork:
        return NumpyNetwork(model)


ENGINE = NumpyEngine()
