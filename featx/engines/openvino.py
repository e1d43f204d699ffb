"""Running frozen graphs with OpenVINO: conversion, preprocessing inside the network, streams."""

from __future__ import annotations

import importlib.metadata
import math
import queue
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from featx.engines.graph import ONNX, OPENVINO, TENSORFLOW, NetworkGraph, NotConvertible
from featx.errors import ModelError
from featx.images.preprocess import CAFFE_MEAN, TORCH_MEAN, TORCH_STD
from featx.specs import InputSpec
from featx.units import format_count

ComputeType = Literal["float32", "mixed", "bfloat16"]

_PRECISIONS = {"float32": "f32", "mixed": "bf16", "bfloat16": "bf16"}
"""Ours → OpenVINO's names of the type in which it computes; of `mixed`, where nothing else is said
in the model."""

_AXES = {"channels_first": "NCHW", "channels_last": "NHWC"}

BLOCK = 4
"""Images that go through a network together: of 1 to 32, measured for MobileNetV2, ResNet50, VGG19
and the built-in, the fastest or within 2 % of it (``benchmarks/LOG.md``)."""

CALL_SECONDS, MAX_BATCH = 0.03, 32
"""How long a call with several blocks should take: what surrounds it takes about 0.5 ms."""

GRAPH_NAME = "network.xml"
"""Of the two files of OpenVINO's own format the one that is named; the weights lie beside it."""


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def version() -> str:
    """Return OpenVINO's version, with which a converted network belongs together."""
    return importlib.metadata.version("openvino")


@cache
def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def convert(graph: NetworkGraph, contract: InputSpec) -> Any:
    """Convert a graph to an OpenVINO model of uint8 pixels (B, H, W, C), RGB.

    The scaling is that of `featx.images.preprocess.scale_pixels`, as the first operations.
    Results are in the order of `graph.outputs`, maps with their channels last.

    Args:
        graph: The graph, in one of `FORMS`.
        contract: How its pixels are scaled.

    Raises:
        NotConvertible: If OpenVINO does not know one of its operations.
    """
    try:
        model = FORMS[graph.form](graph)
        names = _name_outputs(model, graph)
        model = _with_pixels(model, graph, contract, names)
    except NotConvertible:
        raise
    except Exception as error:  # OpenVINO raises RuntimeError and its own kinds.
        raise NotConvertible(_reason(error)) from error
    return _in_order(model, names, list(graph.outputs))


def _read_tensorflow(graph: NetworkGraph) -> Any:
    """Read a GraphDef: OpenVINO tells its format from others by the name of the file."""
    with tempfile.TemporaryDirectory(prefix="featx-") as folder:
        path = Path(folder) / "graph.pb"
        path.write_bytes(cast(bytes, graph.content))
        return _core().read_model(path)


def _read_onnx(graph: NetworkGraph) -> Any:
    """Read an ONNX model, and make results of the tensors that are wanted."""
    import openvino
    from openvino import opset13 as ops

    model = _core().read_model(graph.content)
    tensors = {
        name: output
        for node in model.get_ordered_ops()
        for output in node.outputs()
        for name in output.get_names()
    }
    results = []
    for wanted in graph.outputs.values():
        if wanted.name not in tensors:
            raise NotConvertible(f"it has no tensor {wanted.name!r} once it is converted")
        result = ops.result(tensors[wanted.name])
        result.set_friendly_name(wanted.name)
        results.append(result)
    return openvino.Model(results, model.get_parameters(), "featx")


def _build(graph: NetworkGraph) -> Any:
    return cast(Callable[[], Any], graph.content)()


FORMS = {TENSORFLOW: _read_tensorflow, ONNX: _read_onnx, OPENVINO: _build}
"""Forms of a graph that OpenVINO takes, and what reads each."""


def _in_order(model: Any, names: Sequence[str], order: Sequence[str]) -> Any:
    """Put a model's results in the order of layers: by name, two layers of one tensor are one."""
    import openvino

    results = dict(zip(names, model.get_results(), strict=True))
    return openvino.Model([results[name] for name in order], model.get_parameters(), "featx")


def prepare_mixed(model: Any) -> Any:
    """Return the form of a converted model that is compiled in mixed precision.

    Raises:
        NotConvertible: If there is none.
    """
    from featx.engines.mixed_precision import correct

    try:
        return correct(_core(), model)
    except NotConvertible:
        raise
    except Exception as error:
        raise NotConvertible(_reason(error)) from error


def read(folder: Path) -> Any:
    """Open a model that `save` wrote.

    Raises:
        NotConvertible: If OpenVINO cannot.
    """
    try:
        return _core().read_model(folder / GRAPH_NAME)
    except Exception as error:
        raise NotConvertible(_reason(error)) from error


def save(model: Any, folder: Path) -> None:
    """Write a converted model's two files, weights in full precision."""
    import openvino

    openvino.save_model(model, folder / GRAPH_NAME, compress_to_fp16=False)


def _name_outputs(model: Any, graph: NetworkGraph) -> list[str]:
    """Return the layer that each output of the model is, in the model's order.

    By the result's own name: copies of one tensor share its names, and those of the input are
    only the input's.
    """
    layers = {output.name: layer for layer, output in graph.outputs.items()}
    results = [output.get_node().get_friendly_name() for output in model.outputs]
    names = [layers.get(name, layers.get(name.removesuffix(":0"), "")) for name in results]
    if sorted(names) != sorted(graph.outputs):
        raise NotConvertible("not every layer that was asked for is a result of its graph")
    return names


def _with_pixels(model: Any, graph: NetworkGraph, contract: InputSpec, names: Sequence[str]) -> Any:
    """Put the scaling of pixels before a model, and behind it what turns maps to channels last."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    (image,) = [
        number
        for number, port in enumerate(model.inputs)
        if {graph.input, f"{graph.input}:0"} & port.get_names()
    ]
    wanted = model.input(image).get_element_type()
    process = PrePostProcessor(model)
    port = process.input(image)
    port.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    port.model().set_layout(Layout(_AXES[graph.input_layout]))
    steps = port.preprocess()
    if contract.scaling != "raw":
        steps.convert_element_type(Type.f32)
    if contract.scaling == "caffe":
        steps.mean(CAFFE_MEAN.tolist())
    elif contract.scaling == "tf":
        steps.scale(127.5).mean(1.0)
    elif contract.scaling in ("torch", "unit"):
        steps.scale(255.0)
        if contract.scaling == "torch":
            steps.mean(TORCH_MEAN.tolist()).scale(TORCH_STD.tolist())
    if contract.channel_order == "bgr":
        steps.reverse_channels()
    steps.convert_element_type(wanted)
    for number, name in enumerate(names):
        output = process.output(number)
        output.tensor().set_element_type(Type.f32)
        if graph.outputs[name].layout == "channels_first":
            output.model().set_layout(Layout(_AXES["channels_first"]))
            output.tensor().set_layout(Layout(_AXES["channels_last"]))
    return process.build()


def _reason(error: Exception) -> str:
    """Return the part of an OpenVINO message that is about the network, not about its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    summary = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (summary or told or lines or [type(error).__name__])[0]


class OpenVinoNetwork:
    """A converted network, compiled for this processor.

    Args:
        model: An OpenVINO model.
        names: The layers that its results are, in their order.
        precision: In which it computes; values come as float32 in any case.
        num_threads: Threads of all streams together.
        num_streams: Calls that are computed at the same time.
        block: Images that go through the network together, unless it takes only one number. It is
            compiled for that number: a shape that is known is up to a sixth faster, and few images
            stay in the cache.

    Attributes:
        concurrency: Calls from several threads that are computed at the same time.
        batch_size: Images that are best given in one call: `block` before `start`.
    """

    def __init__(
        self,
        model: Any,
        names: Sequence[str],
        *,
        precision: ComputeType,
        num_threads: int,
        num_streams: int,
        block: int = BLOCK,
    ) -> None:
        self.concurrency = num_streams
        settings = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
            "EXECUTION_MODE_HINT": "ACCURACY" if precision == "float32" else "PERFORMANCE",
            "NUM_STREAMS": num_streams,
            "INFERENCE_NUM_THREADS": num_threads,
        }
        try:
            model = model.clone()
            shape = model.input(0).get_partial_shape()
            if shape[0].is_static:  # What is inside the network may depend on it.
                block = shape[0].get_length()
            shape[0] = block
            model.reshape(shape)
            self._compiled = _core().compile_model(model, "CPU", settings)
            if precision == "mixed" and not _keeps_float32(self._compiled):
                raise NotConvertible("this version of it keeps no single operation in float32")
            self._ports = dict(zip(names, self._compiled.outputs, strict=True))
        except NotConvertible:
            raise
        except Exception as error:
            raise NotConvertible(_reason(error)) from error
        self.batch_size = self._block = block
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(num_streams):
            self._requests.put(self._compiled.create_infer_request())

    def start(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the first images, and choose by the time of the last ones how many to take.

        Short calls keep all streams busy to the end; long ones hide what a call costs. The first
        block says nothing of that: kernels are made for it.
        """
        results = self(pixels[: self._block])
        rest = pixels[self._block :]
        if len(rest) == 0:
            return results
        began = time.perf_counter()
        following = self(rest)
        per_block = (time.perf_counter() - began) / math.ceil(len(rest) / self._block)
        blocks = min(round(CALL_SECONDS / per_block), MAX_BATCH // self._block)
        self.batch_size = self._block * max(1, blocks)
        return {name: np.concatenate([results[name], following[name]]) for name in results}

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Compute layers of pixels: uint8 (B, H, W, C), RGB, not scaled.

        Raises:
            ModelError: If OpenVINO fails, for example for want of memory.
        """
        results: dict[str, np.ndarray] = {}
        request = self._requests.get()
        try:
            for start in range(0, len(pixels), self._block):
                block = pixels[start : start + self._block]
                count = len(block)
                if count < self._block:
                    block = np.concatenate([block, *[block[-1:]] * (self._block - count)])
                request.infer([np.ascontiguousarray(block)], share_inputs=True)
                for name, port in self._ports.items():
                    values = request.get_tensor(port).data
                    if name not in results:
                        shape = _rows_shape(name, values.shape, self._block, len(pixels))
                        results[name] = np.empty(shape, np.float32)
                    # Copies: the request's own memory is that of its next block.
                    results[name][start : start + count] = values[:count]
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO failed to run the network: {_reason(error).rstrip('.')}. "
                "Use --engine tensorflow."
            ) from error
        finally:
            self._requests.put(request)
        return results


def _keeps_float32(compiled: Any) -> bool:
    """Whether some product with weights is computed in float32."""
    products = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")
    return any(
        node.rt_info["layerType"].value in products
        and node.rt_info["runtimePrecision"].value == "f32"
        for node in compiled.get_runtime_model().get_ops()
    )


def _rows_shape(name: str, shape: Sequence[int], block: int, count: int) -> tuple[int, ...]:
    """Return the shape of a layer's rows of all blocks; refuse what is not a row for each image."""
    if not shape or shape[0] != block:
        raise ModelError(
            f"A layer gives one row for each image. Received: an array {tuple(shape)} of {name!r} "
            f"for {format_count(block, 'image')}. Choose a layer before or after it."
        )
    return (count, *shape[1:])
