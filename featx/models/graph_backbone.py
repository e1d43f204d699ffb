"""A backbone made of a description and a compiler of TensorFlow graphs: what adapters return."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from featx.engines.graph import NetworkGraph
from featx.engines.tensorflow import CALLS_PER_GPU, CompiledLayers, list_gpus
from featx.images.preprocess import scale_pixels
from featx.models.backbone import Layer
from featx.specs import DEFAULT_BATCH_SIZE, ModelSpec

GPU_BATCH_SIZE = 64
"""Images that are given to a GPU at a time unless told otherwise: fewer do not fill a large one."""

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
        self._channels_first = channels_first
        self._turned = {layer.name for layer in layers if layer.channels_first}
        self._compile_layers = compile_layers
        self._build_graph = build_graph
        self._compiled: dict[tuple[str, ...], Compiled] = {}
        self.run_facts: Mapping[str, Any] = {"engine": "tensorflow", "precision": "float32"}

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        return self._layers

    @property
    def concurrency(self) -> int:
        """Batches that may be computed at the same time: one on the CPU, two on each GPU."""
        return max(1, CALLS_PER_GPU * len(list_gpus()))

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        return GPU_BATCH_SIZE if list_gpus() else DEFAULT_BATCH_SIZE

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
        return compiled.freeze(
            "channels_first" if self._channels_first else "channels_last",
            {layer.name: layer.layout for layer in self._layers},
        )

    def _compile(self, names: tuple[str, ...]) -> Compiled:
        if names not in self._compiled:
            self._compiled[names] = self._compile_layers(names)
        return self._compiled[names]

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers; see `Backbone`."""
        compiled = self._compile(tuple(names))
        scaled = scale_pixels(images, self.spec.input)
        if self._channels_first:
            scaled = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
        arrays = compiled(scaled)
        return {
            name: np.ascontiguousarray(values.transpose(0, 2, 3, 1))
            if name in self._turned
            else values
            for name, values in arrays.items()
        }
