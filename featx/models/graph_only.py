"""A backbone that is nothing but a graph: any engine that takes its form computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from featx.engines.engines import ENGINES, Network, NetworkSettings
from featx.engines.graph import NetworkGraph
from featx.errors import ModelError, join_names
from featx.machine import available_cores
from featx.models.description import DescribedBackbone, ModelDescription
from featx.specs import DEFAULT_BATCH_SIZE


class GraphOnlyBackbone(DescribedBackbone):
    """A backbone without an engine of its own.

    Args:
        description: What is known of the model.
        build_graph: Returns the graph of some layers, in the order in which they are named.
    """

    def __init__(
        self,
        description: ModelDescription,
        build_graph: Callable[[tuple[str, ...]], NetworkGraph],
    ) -> None:
        super().__init__(description)
        self.run_facts: Mapping[str, Any] = {}
        self.is_loaded = True
        self.concurrency = 1
        self.batch_size = DEFAULT_BATCH_SIZE
        self._build_graph = build_graph
        self._networks: dict[tuple[str, ...], Network] = {}

    def freeze(self, names: Sequence[str]) -> NetworkGraph:
        """Return the graph of some layers; see `Backbone`."""
        return self._build_graph(tuple(names))

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers on the first engine that takes them; see `Backbone`."""
        key = tuple(names)
        if key not in self._networks:
            self._networks[key] = self._open(key)
        return self._networks[key](np.asarray(images))

    def _open(self, names: tuple[str, ...]) -> Network:
        graph = self.freeze(names)
        for engine in (ENGINES[name] for name in ENGINES):
            if graph.form in engine.forms:
                settings = NetworkSettings(
                    names, "float32", available_cores(), batch_size=self.batch_size
                )
                return engine.open(engine.convert(graph, self.spec.input), settings)
        raise ModelError(
            f"No engine takes graphs of the form {graph.form!r}. "
            f"There are {join_names(list(ENGINES), conjunction='and')}."
        )
