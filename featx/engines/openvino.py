"""Running frozen graphs with OpenVINO: conversion, preprocessing inside the network, streams."""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from featx.engines.frozen import FrozenNetwork, NotConvertible
from featx.errors import ModelError
from featx.images.preprocess import CAFFE_MEAN, TORCH_MEAN, TORCH_STD
from featx.specs import InputSpec

Precision = Literal["float32", "bfloat16"]

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
"""Ours → OpenVINO's names of the type in which it computes."""

GRAPH_NAME, WEIGHTS_NAME = "network.xml", "network.bin"
"""The two files of OpenVINO's own format."""


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def version() -> str:
    """Return OpenVINO's version, with which a converted network belongs together."""
    import openvino

    return str(openvino.__version__)


@cache
def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def convert(network: FrozenNetwork, contract: InputSpec) -> Any:
    """Convert a frozen graph to an OpenVINO model of uint8 pixels (B, H, W, C), RGB.

    The scaling is that of `featx.images.preprocess.scale_pixels`, as the first operations.

    Args:
        network: The graph.
        contract: How its pixels are scaled.

    Raises:
        NotConvertible: If OpenVINO does not know one of its operations.
    """
    try:
        model = network.build() if network.build is not None else _read_graph(network.graph_def)
        names = _name_outputs(model, network)
        model = _with_pixels(model, network, contract, names)
    except NotConvertible:
        raise
    except Exception as error:  # OpenVINO raises RuntimeError and its own kinds.
        raise NotConvertible(_reason(error)) from error
    for output, name in zip(model.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    return model


def _read_graph(graph_def: bytes) -> Any:
    with tempfile.TemporaryDirectory(prefix="featx-") as folder:
        path = Path(folder) / "graph.pb"
        path.write_bytes(graph_def)
        return _core().read_model(path)


def save(model: Any, folder: Path) -> None:
    """Write a converted model's two files, weights in full precision."""
    import openvino

    openvino.save_model(model, folder / GRAPH_NAME, compress_to_fp16=False)


def _name_outputs(model: Any, network: FrozenNetwork) -> list[str]:
    """Return the tap that each output of the model is, in the model's order."""
    taps = {f"{node}:0": tap for tap, node in network.outputs.items()}
    names = []
    for output in model.outputs:
        found = [taps[name] for name in output.get_names() if name in taps]
        names.append(found[0] if found else "")
    if sorted(names) != sorted(network.outputs):
        raise NotConvertible("not every layer that was asked for is a result of its graph")
    return names


def _with_pixels(
    model: Any, network: FrozenNetwork, contract: InputSpec, names: Sequence[str]
) -> Any:
    """Put the scaling of pixels before a model, and turned maps behind it."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    (image,) = [
        number
        for number, port in enumerate(model.inputs)
        if f"{network.input}:0" in port.get_names()
    ]
    wanted = model.input(image).get_element_type()
    process = PrePostProcessor(model)
    port = process.input(image)
    port.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    port.model().set_layout(Layout("NCHW" if network.channels_first else "NHWC"))
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
        if name in network.turned:
            output.model().set_layout(Layout("NCHW"))
            output.tensor().set_layout(Layout("NHWC"))
    return process.build()


def _reason(error: Exception) -> str:
    """Return the part of an OpenVINO message that is about the network, not about its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told or lines or [type(error).__name__])[0]


class OpenVinoNetwork:
    """A converted network, compiled for this processor.

    Args:
        model: An OpenVINO model, or the folder with its two files.
        names: The taps to give, in the order in which they were asked for.
        precision: In which it computes; values come as float32 in any case.
        num_threads: Threads of all streams together.
        num_streams: Batches that are computed at the same time.

    Calls from several threads are computed at the same time, up to `concurrency`.
    """

    def __init__(
        self,
        model: Any,
        names: Sequence[str],
        *,
        precision: Precision,
        num_threads: int,
        num_streams: int,
    ) -> None:
        self.precision = precision
        self.concurrency = num_streams
        settings = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
            "EXECUTION_MODE_HINT": "ACCURACY" if precision == "float32" else "PERFORMANCE",
            "NUM_STREAMS": num_streams,
            "INFERENCE_NUM_THREADS": num_threads,
        }
        try:
            if isinstance(model, Path):
                model = _core().read_model(model / GRAPH_NAME)
            self._compiled = _core().compile_model(model, "CPU", settings)
        except Exception as error:
            raise NotConvertible(_reason(error)) from error
        self._ports = {name: self._compiled.output(name) for name in names}
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(num_streams):
            self._requests.put(self._compiled.create_infer_request())

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Compute taps of pixels: uint8 (B, H, W, C), RGB, not scaled.

        Raises:
            ModelError: If OpenVINO fails, for example for want of memory.
        """
        request = self._requests.get()
        try:
            request.infer([np.ascontiguousarray(pixels)], share_inputs=True)
            # Copies: the request's own memory is that of its next batch.
            return {
                name: np.array(request.get_tensor(port).data) for name, port in self._ports.items()
            }
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO failed to run the network on {len(pixels)} images at a time: "
                f"{_reason(error)} Use a smaller --batch-size, or --engine tensorflow."
            ) from error
        finally:
            self._requests.put(request)
