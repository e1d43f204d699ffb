"""A backbone made of a description and a compiler of TensorFlow graphs: what adapters return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from featx.engines.graph import Layout, NetworkGraph
from featx.engines.layouts import channels_last, scale_for_graph
from featx.engines.tensorflow import CompiledLayers, calls_at_a_time, images_at_a_time
from featx.models.backbone import Layer
from featx.specs import ModelSpec

_CHANNELS_FIRST_NOTE = (
    "channels first: pixels are given to it as (channels, height, width), and its maps are "
    "turned into (h, w, c)"
)


Compiled = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Computes layers of images that are scaled."""


class GraphBackbone:
    """A backbone made of a description and a compiler; what all adapters return.

    Args:
        spec: The resolved model.
        layers: Every layer.
        compile_layers: Builds a callable from scaled images to named arrays, for given layers.
            Called once for each set of names, whatever the number of batches.
        num_layers: See `Backbone`.
        default_layer: See `Backbone`.
        channels_first: Whether the network takes (B, C, H, W).
        notes: See `Backbone`.
        build_graph: Makes the graph of given layers without the model itself, which is then not
            in memory before it is compiled for TensorFlow.
        packages: See `Backbone`.
        runs_own_code: See `Backbone`.
    """

    def __init__(
        self,
        spec: ModelSpec,
        layers: Sequence[Layer],
        compile_layers: Callable[[tuple[str, ...]], Compiled],
        num_layers: int | None = None,
        default_layer: str | None = None,
        channels_first: bool = False,
        notes: Sequence[str] = (),
        build_graph: Callable[[Sequence[str]], NetworkGraph] | None = None,
        packages: Sequence[str] = (),
        runs_own_code: bool = False,
    ) -> None:
        self.spec = spec
        self.num_layers = num_layers
        self.default_layer = default_layer
        self.notes: Sequence[str] = (*([_CHANNELS_FIRST_NOTE] if channels_first else []), *notes)
        self.packages: Sequence[str] = tuple(packages)
        self.runs_own_code = runs_own_code
        self._layers = tuple(layers)
        self._input_layout: Layout = "channels_first" if channels_first else "channels_last"
        self._layouts = {layer.name: layer.layout for layer in layers}
        self._compile_layers = compile_layers
        self._build_graph = build_graph
        self._compiled: dict[tuple[str, ...], Compiled] = {}
        self.run_facts: Mapping[str, Any] = {"engine": "tensorflow", "precision": "float32"}

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        return self._layers

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
        if not isinstance(compiled, CompiledLayers):
            return None
        return compiled.freeze(self._input_layout, self._layouts)

    def _compile(self, names: tuple[str, ...]) -> Compiled:
        if names not in self._compiled:
            self._compiled[names] = self._compile_layers(names)
        return self._compiled[names]

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers; see `Backbone`."""
        compiled = self._compile(tuple(names))
        scaled = scale_for_graph(images, self.spec.input, self._input_layout)
        return {
            name: channels_last(values, self._layouts[name])
            for name, values in compiled(scaled).items()
        }
