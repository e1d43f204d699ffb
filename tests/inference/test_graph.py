"""The graph that a backbone hands over: its layouts reach the engine whatever form it has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from featx.engines.engines import ENGINES, NetworkSettings
from featx.engines.graph import ONNX, GraphOutput, NetworkGraph, NotConvertible
from featx.inference import AcceleratedBackbone, EngineRequest
from featx.input_spec import InputSpec
from featx.models.backbone import Layer
from tests.inference.agreement import pixels_for
from tests.inference.built import INPUT, built_backbone

SIZE = (6, 10)
CONTRACT = InputSpec(*SIZE, scaling="unit")
KERNEL = np.random.default_rng(0).normal(size=(5, 3, 1, 1)).astype(np.float32)
LAYERS = (
    Layer("first", "layer", "Convolution", None, (*SIZE, 5), channels_first=True),
    Layer("last", "layer", "Transpose", None, (*SIZE, 5)),
    Layer("mean", "layer", "ReduceMean", None, (5,)),
)


def build_channels_first(names: Sequence[str]) -> Any:
    """Build a 1 x 1 convolution, channels first; the same turned; and its mean."""
    from openvino import Model
    from openvino import opset13 as ops

    images = ops.parameter([-1, 3, *SIZE], np.float32, name=INPUT)
    images.output(0).get_tensor().set_names({f"{INPUT}:0"})
    x = ops.convolution(images, ops.constant(KERNEL), [1, 1], [0, 0], [0, 0], [1, 1])
    values = {
        "first": x,
        "last": ops.transpose(x, [0, 2, 3, 1]),
        "mean": ops.reduce_mean(x, [2, 3]),
    }
    results = []
    for name in names:
        results.append(ops.result(values[name]))
        results[-1].set_friendly_name(name)
    return Model(results, [images], "channels first")


def expected_values(pixels: np.ndarray) -> dict[str, np.ndarray]:
    maps = (pixels.astype(np.float32) / 255) @ KERNEL[:, :, 0, 0].T
    return {"first": maps, "last": maps, "mean": maps.mean(axis=(1, 2))}


@pytest.mark.parametrize("names", [("first", "last", "mean"), ("mean", "first")])
def test_a_built_graph_with_channels_first_keeps_them(names: tuple[str, ...]) -> None:
    backbone = built_backbone(build_channels_first, LAYERS, CONTRACT, "channels_first")
    pixels = pixels_for(backbone, 3)
    fast = AcceleratedBackbone(backbone, EngineRequest("openvino", "float32"))
    received = fast(pixels, names)
    assert fast.run_facts["engine"] == "openvino"
    for name in names:
        np.testing.assert_allclose(received[name], expected_values(pixels)[name], atol=1e-5)


def onnx_model(batch: int | str) -> bytes:
    """Write the network of `build_channels_first`, with tensors named as some exporters do."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["first:0"]),
        helper.make_node("Transpose", ["first:0"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["last"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Relu", ["mean"], ["beyond"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", float32, [batch, 3, *SIZE])],
        [helper.make_tensor_value_info("beyond", float32, [batch, 5])],
        [onnx.numpy_helper.from_array(KERNEL, "kernel")],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    content.ir_version = 8
    serialized: bytes = content.SerializeToString()
    return serialized


@pytest.mark.parametrize("batch", ["N", 1, 2])
@pytest.mark.parametrize("as_file", [False, True])
def test_an_onnx_model_gives_any_of_its_tensors(
    tmp_path: Path, batch: int | str, as_file: bool
) -> None:
    content: bytes | Path = onnx_model(batch)
    if as_file:
        (tmp_path / "net.onnx").write_bytes(onnx_model(batch))
        content = tmp_path / "net.onnx"
    outputs = {
        "mean": GraphOutput("mean", None),
        "first": GraphOutput("first:0", "channels_first"),
        "last": GraphOutput("last", "channels_last"),
    }
    graph = NetworkGraph(ONNX, content, "images", "channels_first", outputs)
    engine = ENGINES["openvino"]
    settings = NetworkSettings(tuple(outputs), "float32", num_threads=1, batch_size=5)
    network = engine.open(engine.convert(graph, CONTRACT), settings)
    pixels = np.random.default_rng(1).integers(0, 256, (5, *SIZE, 3), np.uint8)
    received = network(pixels)
    for name, values in expected_values(pixels).items():
        np.testing.assert_allclose(received[name], values, atol=1e-5)


def test_a_tensor_that_an_onnx_model_does_not_have_is_refused() -> None:
    outputs = {"x": GraphOutput("x", None)}
    graph = NetworkGraph(ONNX, onnx_model("N"), "images", "channels_first", outputs)
    with pytest.raises(NotConvertible, match="it has no tensor 'x'"):
        ENGINES["openvino"].convert(graph, CONTRACT)
