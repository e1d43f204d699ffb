"""The engine TensorFlow: on the CPU and on GPUs, in float32.

What TensorFlow loaded, it runs as it is: a backbone is then its own network, with its variables.
This engine computes graphs that come from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from featx.engines.engines import ComputeType, Network, NetworkSettings, Results
from featx.engines.graph import TENSORFLOW, NetworkGraph, NotConvertible
from featx.engines.layouts import channels_last, scale_for_graph
from featx.engines.stored_graph import GraphModel, read_graph, save_graph
from featx.engines.tensorflow import calls_at_a_time, images_at_a_time, import_tensorflow
from featx.engines.tensorflow_graph import CompiledLayers, FrozenGraph
from featx.engines.tensorflow_thread import run_apart
from featx.errors import first_line
from featx.input_spec import InputSpec
from featx.version import version_of


class TensorFlow:
    """TensorFlow as an engine; see `featx.engines.engines.Engine`."""

    name = "tensorflow"
    forms = (TENSORFLOW,)
    precisions: tuple[ComputeType, ...] = ("float32",)

    def has_precision(self, precision: ComputeType) -> bool:
        """Whether it is float32, in which it computes everywhere."""
        return precision == "float32"

    def versions(self) -> Mapping[str, str]:
        """Return TensorFlow's version."""
        return {"tensorflow": version_of("tensorflow")}

    def convert(self, graph: NetworkGraph, contract: InputSpec) -> GraphModel:
        """Return the graph with its contract: whether TensorFlow can take it, opening shows."""
        return GraphModel(graph, contract)

    def save(self, model: GraphModel, folder: Path) -> None:
        """Write the graph."""
        save_graph(model, folder)

    def read(self, folder: Path) -> GraphModel:
        """Open a graph that `save` wrote.

        Raises:
            NotConvertible: If it cannot be read.
        """
        return read_graph(folder)

    def prepare(self, model: GraphModel, precision: ComputeType) -> GraphModel:
        """Return the model itself."""
        return model

    def open(self, model: GraphModel, settings: NetworkSettings) -> Network:
        """Import the graph.

        Raises:
            ForkError: If TensorFlow was used before this process was forked.
            NotConvertible: If TensorFlow cannot: damaged, or with operations that it does not know.
        """
        import_tensorflow()
        try:
            return _GraphNetwork(model, run_apart(lambda: _compile(model)))
        except Exception as error:  # protobuf's DecodeError, ValueError and TensorFlow's own.
            raise NotConvertible(first_line(error)) from error


def _compile(model: GraphModel) -> CompiledLayers:
    graph, contract = model.graph, model.contract
    graph_def = import_tensorflow().compat.v1.GraphDef.FromString(graph.content)
    (images,) = [node for node in graph_def.node if node.name == graph.input]
    size: tuple[int | None, ...] = (None, contract.height, contract.width, contract.channels)
    if graph.input_layout == "channels_first":
        size = (None, contract.channels, contract.height, contract.width)
    frozen = FrozenGraph.from_graph_def(
        graph_def,
        f"{graph.input}:0",
        [f"{output.name}:0" for output in graph.outputs.values()],
        size,
        images.attr["dtype"].type,
    )
    return frozen.prune(dict(zip(graph.outputs, frozen.outputs, strict=True)))


class _GraphNetwork:
    """A graph that TensorFlow has imported."""

    def __init__(self, model: GraphModel, compiled: CompiledLayers) -> None:
        self.concurrency = calls_at_a_time()
        self.batch_size = images_at_a_time()
        self._model = model
        self._compiled = compiled

    def __call__(self, pixels: np.ndarray) -> Results:
        graph = self._model.graph
        scaled = scale_for_graph(pixels, self._model.contract, graph.input_layout)
        return {
            name: channels_last(values, graph.outputs[name].layout)
            for name, values in self._compiled(scaled).items()
        }


ENGINE = TensorFlow()
