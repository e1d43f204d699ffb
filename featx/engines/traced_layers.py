"""Layers of a model that was traced once: one graph for all engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from featx.engines.constant_graph import add_copies, make_network_graph, take_constant_graph
from featx.engines.graph import Layout, NetworkGraph
from featx.engines.tensorflow_graph import CompiledLayers, FrozenGraph, keeps_variables
from featx.engines.tensorflow_thread import run_apart


class TracedLayers:
    """Layers of a model that was traced once: no engine traces it again.

    Args:
        function: The traced function.
        tensors: Layers → tensors of its graph.
        trace: Traces the model up to these layers and compiles it: for what a graph of constants
            cannot do, and for models that are too large for one in TensorFlow.
    """

    def __init__(
        self, function: Any, tensors: Mapping[str, Any], trace: Callable[[], CompiledLayers]
    ) -> None:
        self._function = function
        self._tensors = dict(tensors)
        self._trace = trace

    @cached_property
    def _compiled(self) -> CompiledLayers:
        graph_def = None if keeps_variables(self._function) else self._take_graph()
        if graph_def is None:
            return self._trace()
        images = self._function.inputs[0]
        copies = add_copies(graph_def, self._tensors)
        return FrozenGraph.from_graph_def(
            graph_def,
            images.name,
            [f"{name}:0" for name in copies.values()],
            images.shape.as_list(),
            images.dtype,
        ).compile(tuple(copies))

    @property
    def operation_types(self) -> list[str]:
        """The type of each operation in TensorFlow's graph; compiles it."""
        return self._compiled.operation_types

    def _take_graph(self) -> Any:
        return take_constant_graph(self._function, self._tensors)

    def freeze(
        self, input_layout: Layout, output_layouts: Mapping[str, Layout | None]
    ) -> NetworkGraph:
        """Return the graph for another engine; see `CompiledLayers.freeze`."""
        graph_def = self._take_graph()
        if graph_def is None:
            return self._compiled.freeze(input_layout, output_layouts)
        copies = add_copies(graph_def, self._tensors)
        images = self._function.inputs[0].op.name
        return make_network_graph(graph_def, images, copies, (input_layout, output_layouts))

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute a batch of scaled images; see `CompiledLayers`."""
        return run_apart(lambda: self._compiled)(images)
