"""Backbones whose graph is built for OpenVINO, and which nothing else can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from featx.engines.graph import OPENVINO, GraphOutput, Layout, NetworkGraph
from featx.errors import ModelError
from featx.input_spec import InputSpec
from featx.models.backbone import Layer
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.specs import ModelSpec

INPUT = "images"


def built_backbone(
    build: Callable[[Sequence[str]], Any],
    layers: Sequence[Layer],
    contract: InputSpec,
    input_layout: Layout = "channels_last",
) -> GraphBackbone:
    """Make a backbone of what builds an OpenVINO model, with the input `INPUT`, of given layers."""

    def build_graph(names: Sequence[str]) -> NetworkGraph:
        layouts = {layer.name: layer.layout for layer in layers}
        outputs = {name: GraphOutput(name, layouts[name]) for name in names}
        return NetworkGraph(OPENVINO, partial(build, names), INPUT, input_layout, outputs)

    def compile_layers(names: Sequence[str]) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        raise ModelError("There is only a graph for OpenVINO.")

    spec = ModelSpec("builtin", build.__name__, (), "builtin", "0" * 64, contract)
    is_first = input_layout == "channels_first"
    description = ModelDescription(spec, layers, channels_first=is_first)
    return GraphBackbone(description, compile_layers, build_graph)
