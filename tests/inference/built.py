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
SIZE = 32
LAST = "last"


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


def make_images() -> Any:
    """The input of a network."""
    from openvino import opset13 as ops

    images = ops.parameter([-1, SIZE, SIZE, 3], np.float32, name="images")
    images.output(0).get_tensor().set_names({"images:0"})
    return images


def scale_images(images: Any) -> Any:
    """Pixels in [-1, 1), channels first."""
    from openvino import opset13 as ops

    scaled = ops.add(ops.multiply(images, np.float32(1 / 128)), np.float32(-1))
    return ops.transpose(scaled, [0, 3, 1, 2])


def build(names: Sequence[str] = (LAST,), *, num_blocks: int = 6) -> Any:
    """MobileNet in small: a convolution, then depthwise and pointwise ones, with biases."""
    from openvino import Model
    from openvino import opset13 as ops

    random = np.random.default_rng(1)
    images = make_images()
    x = scale_images(images)
    channels = 3

    def convolve(x: Any, shape: tuple[int, ...], count: int, *, is_depthwise: bool) -> Any:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        kernel = ops.constant((random.normal(size=shape) * scale).astype(np.float32))
        bias = ops.constant(random.normal(size=(1, count, 1, 1)).astype(np.float32))
        pad = [shape[-1] // 2] * 2
        function = ops.group_convolution if is_depthwise else ops.convolution
        x = ops.add(function(x, kernel, [1, 1], pad, pad, [1, 1]), bias)
        return ops.clamp(x, 0.0, 6.0)

    for number in range(num_blocks):
        if number:
            x = convolve(x, (channels, 1, 1, 3, 3), channels, is_depthwise=True)
        x = convolve(x, (24, channels, 1, 1), 24, is_depthwise=False)
        channels = 24
    result = ops.result(ops.transpose(x, [0, 2, 3, 1]))
    result.set_friendly_name(names[0])
    return Model([result], [images], "small")


def make_backbone(builder: Any = build) -> GraphBackbone:
    contract = InputSpec(SIZE, SIZE, scaling="raw")
    layers = [
        Layer(name, "layer", "Convolution", None, (SIZE, SIZE, 24))
        for name in (LAST, *(f"{LAST}{number}" for number in range(6)))
    ]
    return built_backbone(builder, layers, contract)
