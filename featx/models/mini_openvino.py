"""The built-in network built for OpenVINO directly: its first call needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featx.engines.graph import OPENVINO, GraphOutput, Layout, NetworkGraph
from featx.engines.openvino_model import import_openvino
from featx.models.mini_network import BLOCKS, MINI_SIZE

INPUT = "images"


def mini_graph(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> NetworkGraph:
    """Return the graph of some layers of the built-in network, which an engine then builds.

    Args:
        arrays: Its weights, ``layer/kernel`` and ``layer/bias``.
        names: The layers; nothing after the last of them is computed.
    """
    return NetworkGraph(
        OPENVINO,
        lambda: build_mini_openvino(arrays, names),
        INPUT,
        "channels_last",
        {name: GraphOutput(name, _layout_of(name)) for name in names},
    )


def _layout_of(name: str) -> Layout | None:
    if name in ("block4_pool", "embedding"):
        return None
    return "channels_last" if name in ("images", "scaling") else "channels_first"


def build_mini_openvino(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> Any:
    """Build the network of `featx.models.mini_network.build_mini` as an OpenVINO model.

    Args:
        arrays: Its weights, ``layer/kernel`` and ``layer/bias``.
        names: Layers that are its results.

    Returns:
        A model of float32 images (B, 128, 128, 3) in [0, 255]; maps of blocks are (B, c, h, w).
    """
    openvino = import_openvino()
    from openvino import opset13 as ops

    images = ops.parameter([-1, MINI_SIZE, MINI_SIZE, 3], np.float32, name=INPUT)
    images.output(0).get_tensor().set_names({f"{INPUT}:0"})
    layers = _build_layers({name: arrays[name].astype(np.float32) for name in arrays}, images)
    results = [ops.result(layers[name]) for name in names]
    for result, name in zip(results, names, strict=True):
        result.set_friendly_name(name)
    return openvino.Model(results, [images], "mini")


def _build_layers(weights: Mapping[str, np.ndarray], images: Any) -> dict[str, Any]:
    """Build every layer, by name."""
    from openvino import opset13 as ops

    layers: dict[str, Any] = {"images": images}
    x = ops.add(ops.multiply(images, np.float32(1 / 64)), np.float32(-2.0))
    layers["scaling"] = x
    x = ops.transpose(x, [0, 3, 1, 2])
    layers["block1_pad"] = ops.pad(x, [0, 0, 1, 1], [0, 0, 1, 1], "constant", np.float32(0))
    for number, (_, num_convolutions) in enumerate(BLOCKS, start=1):
        for position in range(1, num_convolutions + 1):
            name = f"block{number}_conv{position}"
            # Every padding is 1; that of the first convolution is a layer of its own in Keras.
            x = layers[name] = _convolve(weights, name, x, 4 if number == position == 1 else 1, 1)
        if number < len(BLOCKS):
            x = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
            layers[f"block{number}_pool"] = x
    x = layers["block4_conv3"] = _convolve(weights, "block4_conv3", x, 1, 0)
    x = layers["block4_pool"] = ops.reduce_mean(x, [2, 3])
    x = ops.matmul(x, ops.constant(weights["embedding/kernel"]), False, False)
    layers["embedding"] = ops.add(x, ops.constant(weights["embedding/bias"]))
    return layers


def _convolve(
    weights: Mapping[str, np.ndarray], name: str, x: Any, stride: int, padding: int
) -> Any:
    """Build a convolution of maps with channels first, with its bias and ReLU."""
    from openvino import opset13 as ops

    kernel = np.ascontiguousarray(weights[f"{name}/kernel"].transpose(3, 2, 0, 1))
    bias = weights[f"{name}/bias"].reshape(1, -1, 1, 1)
    pads = [padding, padding]
    x = ops.convolution(x, ops.constant(kernel), [stride] * 2, pads, pads, [1, 1])
    return ops.relu(ops.add(x, ops.constant(bias)))
