"""The built-in network made directly for OpenVINO: without TensorFlow, from its very first call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featx.engines.graph import OPENVINO, GraphOutput, NetworkGraph
from featx.models.mini_network import BLOCKS, MINI_SIZE

INPUT = "images"


def mini_graph(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> NetworkGraph:
    """Return the graph of some layers of the built-in network, built when an engine takes it.

    Args:
        arrays: Its weights, ``layer/kernel`` and ``layer/bias``.
        names: The layers; nothing beyond the last of them is computed.
    """
    return NetworkGraph(
        OPENVINO,
        lambda: build_mini_openvino(arrays, names),
        INPUT,
        "channels_last",
        {name: GraphOutput(name, "channels_last" if _is_map(name) else None) for name in names},
    )


def _is_map(name: str) -> bool:
    return name not in ("block4_pool", "embedding")


def build_mini_openvino(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> Any:
    """Build the network of `featx.models.mini_network.build_mini` as an OpenVINO model.

    Args:
        arrays: Its weights, ``layer/kernel`` and ``layer/bias``.
        names: Layers whose results it has; nothing beyond the last of them is computed.

    Returns:
        A model of float32 images (B, 128, 128, 3) in [0, 255], with maps as (B, h, w, c).
    """
    import openvino
    from openvino import opset13 as ops

    images = ops.parameter([-1, MINI_SIZE, MINI_SIZE, 3], np.float32, name=INPUT)
    images.output(0).get_tensor().set_names({f"{INPUT}:0"})
    results: dict[str, Any] = {"images": images}
    x = ops.add(ops.multiply(images, np.float32(1 / 64)), np.float32(-2.0))
    results["scaling"] = x
    x = ops.transpose(x, [0, 3, 1, 2])

    def weights(name: str) -> np.ndarray:
        return arrays[name].astype(np.float32)

    def convolve(x: Any, name: str, stride: int, padding: int) -> Any:
        kernel = weights(f"{name}/kernel").transpose(3, 2, 0, 1)
        bias = weights(f"{name}/bias").reshape(1, -1, 1, 1)
        pads = [padding, padding]
        filters = ops.constant(np.ascontiguousarray(kernel))
        x = ops.convolution(x, filters, [stride] * 2, pads, pads, [1, 1])
        return ops.relu(ops.add(x, ops.constant(bias)))

    for number, (_, num_convolutions) in enumerate(BLOCKS, start=1):
        for position in range(1, num_convolutions + 1):
            name = f"block{number}_conv{position}"
            is_stem = number == position == 1
            if is_stem:
                padded = ops.pad(x, [0, 0, 1, 1], [0, 0, 1, 1], "constant", np.float32(0))
                results["block1_pad"] = padded
            # Its padding is 1 in any case: the stem's is a layer of its own in Keras.
            x = results[name] = convolve(x, name, 4 if is_stem else 1, 1)
        if number < len(BLOCKS):
            x = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
            results[f"block{number}_pool"] = x
    x = results["block4_conv3"] = convolve(x, "block4_conv3", 1, 0)
    x = results["block4_pool"] = ops.reduce_mean(x, [2, 3])
    x = ops.matmul(x, ops.constant(weights("embedding/kernel")), False, False)
    results["embedding"] = ops.add(x, ops.constant(weights("embedding/bias")))

    outputs = []
    for name in names:
        value = results[name]
        is_turned = name.startswith("block") and _is_map(name)
        output = ops.result(ops.transpose(value, [0, 2, 3, 1]) if is_turned else value)
        output.set_friendly_name(name)
        outputs.append(output)
    return openvino.Model(outputs, [images], "mini")
