"""OpenVINO models that take pixels, made from the graphs of backbones."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

from featx.engines.graph import ONNX, OPENVINO, TENSORFLOW, NetworkGraph, NotConvertible
from featx.forks import ProcessLock
from featx.host import importing_without, importing_without_reports
from featx.images.preprocess import CAFFE_MEAN, TORCH_MEAN, TORCH_STD
from featx.input_spec import InputSpec
from featx.scratch import scratch_folder

_AXES = {"channels_first": "NCHW", "channels_last": "NHWC"}


_CONVERTER = "openvino.tools.ovc"
"""What OpenVINO imports if it is there, with telemetry and HTTP: half of the time of its import.
Graphs are read without it."""

_importing = ProcessLock()


def import_openvino() -> Any:
    """Import OpenVINO, which then reports nothing; in featx's own process without its converter."""
    with _importing, importing_without([_CONVERTER]), importing_without_reports():
        import openvino
    return openvino


@cache
def get_core() -> Any:
    """Return OpenVINO's core, one for the process."""
    core = import_openvino().Core()
    if hasattr(os, "register_at_fork"):
        # Its destructor waits for its threads: a forked process, which lacks them, would not exit.
        keep = ctypes.pythonapi.Py_IncRef
        os.register_at_fork(after_in_child=lambda: keep(ctypes.py_object(core)))
    return core


def convert_graph(graph: NetworkGraph, contract: InputSpec) -> Any:
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
        raise NotConvertible(reason_of(error)) from error
    return _in_order(model, names, list(graph.outputs))


def _read_tensorflow(graph: NetworkGraph) -> Any:
    """Read a GraphDef: OpenVINO tells its format from others by the name of the file."""
    with scratch_folder() as folder:
        path = folder / "graph.pb"
        path.write_bytes(cast(bytes, graph.content))
        return get_core().read_model(path)


def _read_onnx(graph: NetworkGraph) -> Any:
    """Read an ONNX model, and make results of the tensors that are wanted."""
    import openvino
    from openvino import opset13 as ops

    model = get_core().read_model(graph.content)
    if graph.input_shape is not None:
        model.reshape([-1 if size is None else size for size in graph.input_shape])
    tensors = {
        name: output
        for node in model.get_ordered_ops()
        if node.get_type_name() != "Result"
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
    """Add the scaling of pixels before a model, and transposes to channels last after it."""
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


_UNKNOWN = "No conversion rule found for operations"

_CONTEXT = (
    "-- ",
    "Check '",
    "Exception from",
    "FrontEnd API failed",
    "Loading input model",
    "Model wasn't fully converted",
    "Shape inference input shapes",
    "While validating",
)
"""How lines begin that say where OpenVINO noticed an error, not what it is."""

_NODE = re.compile(r"While validating ONNX node '<Node\((\w+)\): (.*?)>':\s*(.*)")

_UNTOLD = "object is not initialized"
"""What oneDNN says for an operation that it has no kernel for, such as one with pads of 2^62."""


def reason_of(error: Exception) -> str:
    """Return the part of an OpenVINO message that is about the network, not about the library.

    Operators that OpenVINO does not know come first: other operations fail because of them. Else
    it is what the first operation that failed says, after its operator and its name.

    Example:
        >>> reason_of(RuntimeError("Exception from core.cpp:84:\\nInput tensor isn't found"))
        "Input tensor isn't found"
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if _UNKNOWN in line:
            return line.removeprefix("-- ")
    operation = ""
    for line in lines:
        if line == "Summary:":
            break
        node = _NODE.match(line)
        if node:
            operation = f"{node[1]} {node[2]!r}: "
        told = node[3] if node else line
        if told == _UNTOLD:
            return f"it has no way to compute an operation; a size may be out of range ({_UNTOLD})"
        if told and not told.startswith(_CONTEXT):
            return operation + told
    summary = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    return [type(error).__name__, *lines[:1], *summary[-1:]][-1]
