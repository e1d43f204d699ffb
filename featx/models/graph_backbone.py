"""A backbone that TensorFlow computes: a description, and a compiler of graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.engines.graph import NetworkGraph
from featx.engines.layouts import channels_last, scale_for_graph
from featx.engines.tensorflow import calls_at_a_time, images_at_a_time
from featx.engines.tensorflow_graph import CompiledLayers
from featx.engines.traced_layers import TracedLayers
from featx.models.description import DescribedBackbone, ModelDescription
from featx.models.keras_settings import build_apart

if TYPE_CHECKING:
    from featx.models.keras_layers import KerasLayers

Compiled = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Computes layers of images that are scaled."""


class GraphBackbone(DescribedBackbone):
    """A backbone that TensorFlow computes.

    Args:
        description: What is known of the model.
        compile_layers: Builds a callable from scaled images to named arrays, for given layers.
            Called once for each set of names, whatever the number of batches.
        build_graph: Makes the graph of given layers without the model itself, which is then not
            in memory before it is compiled for TensorFlow.
        find_layers: Returns the layers of Keras that the model consists of, if it is one of Keras.
    """

    def __init__(
        self,
        description: ModelDescription,
        compile_layers: Callable[[tuple[str, ...]], Compiled],
        build_graph: Callable[[Sequence[str]], NetworkGraph] | None = None,
        find_layers: Callable[[], KerasLayers] | None = None,
    ) -> None:
        super().__init__(description)
        self._input_layout = description.input_layout
        self._layouts = {layer.name: layer.layout for layer in description.layers}
        self._compile_layers = compile_layers
        self._build_graph = build_graph
        self._find_layers = find_layers
        self._compiled: dict[tuple[str, ...], Compiled] = {}
        self.run_facts: Mapping[str, Any] = {"engine": "tensorflow", "precision": "float32"}

    @property
    def concurrency(self) -> int:
        """Batches that may be computed at the same time."""
        return calls_at_a_time()

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        return images_at_a_time()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._build_graph is None or bool(self._compiled)

    def freeze(self, names: Sequence[str]) -> NetworkGraph | None:
        """Return the graph of some layers; see `Backbone`."""
        if self._build_graph is not None:
            return self._build_graph(names)
        compiled = self._compile(tuple(names))
        if not isinstance(compiled, (CompiledLayers, TracedLayers)):
            return None
        return build_apart(lambda: compiled.freeze(self._input_layout, self._layouts))

    def keras_layers(self) -> KerasLayers | None:
        """Return the layers of Keras that it consists of; None for any other model."""
        return None if self._find_layers is None else self._find_layers()

    def _compile(self, names: tuple[str, ...]) -> Compiled:
        if names not in self._compiled:
            self._compiled[names] = build_apart(lambda: self._compile_layers(names))
        return self._compiled[names]

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers; see `Backbone`."""
        compiled = self._compile(tuple(names))
        scaled = scale_for_graph(images, self.spec.input, self._input_layout)
        return {
            name: channels_last(values, self._layouts[name])
            for name, values in compiled(scaled).items()
        }
