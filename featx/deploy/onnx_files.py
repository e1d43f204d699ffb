"""ONNX files: functions of TensorFlow, and a network of ONNX between its preparation and a head."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from featx.deploy.parts import make_top, scale_prepared
from featx.deploy.pooling import add_pooling
from featx.engines.graph import GraphOutput, NetworkGraph
from featx.engines.tensorflow import import_tensorflow
from featx.errors import HeadError
from featx.heads.head import Head

OPSET = 17
"""Version of ONNX's operators in what TensorFlow computes."""

_LEAST, _MOST = 9, 18
"""Versions that tf2onnx writes."""


def convert(function: Any, opset: int = OPSET) -> Any:
    """Return a function of TensorFlow, with one signature, as an ONNX model.

    Raises:
        HeadError: If tf2onnx is not installed.
    """
    try:
        tf2onnx = importlib.import_module("tf2onnx")
    except ImportError as error:
        raise HeadError(
            "ONNX files are written by tf2onnx, which is not installed: pip install 'featx[onnx]'."
        ) from error
    model, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=opset)
    return model


def write_around(
    graph: NetworkGraph, shape: tuple[int | None, ...], head: Head, path: Path
) -> None:
    """Write a network of ONNX with the preparation of pictures before it, and a head behind it.

    Args:
        graph: The network, a file.
        shape: That of the layer that the head is on, (h, w, C) or (D,).
        head: The head.
        path: The file to write.

    Raises:
        HeadError: If tf2onnx is not installed, the network takes several pictures at a time and no
            other number, or the parts cannot be joined.
    """
    batch = None if graph.input_shape is None else graph.input_shape[0]
    if batch not in (None, 1):
        raise HeadError(
            f"{head.model.reference!r} takes {batch} pictures at a time, and no other number: it "
            "cannot be exported. Write it again with a batch size that varies."
        )
    behind = _trace_head(graph.outputs[head.feature.name], shape, head)
    convert(behind)  # Says what is not installed.
    import onnx
    from onnx import version_converter

    try:
        network = _cut(graph, head.feature.name, 1 + len(shape))
        version = network.opset_import[0].version
        if version < _LEAST:
            network, version = version_converter.convert_version(network, _LEAST), _LEAST
        takes = onnx.helper.tensor_dtype_to_np_dtype(
            network.graph.input[0].type.tensor_type.elem_type
        )
        before = _trace_preparation(graph, head, takes)
        whole = _prefix(_convert_to(before, version), "prepare/", rename_inputs=False)
        whole = _join(whole, _prefix(network, "network/"))
        whole = _join(whole, _prefix(_convert_to(behind, version), "head/"))
        onnx.save(whole, path)
    except (ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise HeadError(
            f"{head.model.reference!r} cannot be joined with its head in one ONNX file: {reason}"
        ) from error


def _trace_preparation(graph: NetworkGraph, head: Head, takes: Any) -> Any:
    """Return a function from pictures of the network's size to what it takes."""
    tensorflow = import_tensorflow()
    contract = head.model.input
    batch = None if graph.input_shape is None else graph.input_shape[0]
    shape = (batch, contract.height, contract.width, 3)

    def prepare(images: Any) -> Any:
        pixels = scale_prepared(images, contract)
        if graph.input_layout == "channels_first":
            pixels = tensorflow.transpose(pixels, (0, 3, 1, 2))
        return tensorflow.cast(pixels, takes)

    spec = tensorflow.TensorSpec(shape, tensorflow.uint8, name="images")
    return tensorflow.function(prepare, input_signature=[spec], autograph=False)


def _trace_head(output: GraphOutput, shape: tuple[int | None, ...], head: Head) -> Any:
    """Return a function from a layer of the network to what the head predicts."""
    tensorflow = import_tensorflow()
    top = make_top(head)
    name = "number" if head.task == "regression" else "probabilities"
    given = (shape[-1], *shape[:-1]) if output.layout == "channels_first" else shape

    def predict(values: Any) -> dict[str, Any]:
        if output.layout == "channels_first":
            values = tensorflow.transpose(values, (0, 2, 3, 1))
        return {name: top(add_pooling(values, head.feature.pool))}

    spec = tensorflow.TensorSpec((None, *given), tensorflow.float32, name="values")
    return tensorflow.function(predict, input_signature=[spec], autograph=False)


def _cut(graph: NetworkGraph, layer: str, rank: int) -> Any:
    """Return the network up to a layer of so many axes, in float32, for any number of pictures."""
    import onnx
    from onnx import helper
    from onnx.utils import Extractor

    assert isinstance(graph.content, Path)
    model = onnx.load(graph.content)
    values = "featx_values"  # No tensor of a network is called so.
    cast = helper.make_node(
        "Cast", [graph.outputs[layer].name], [values], to=onnx.TensorProto.FLOAT
    )
    model.graph.node.append(cast)
    axes = [None] * rank
    model.graph.output.append(helper.make_tensor_value_info(values, onnx.TensorProto.FLOAT, axes))
    del model.graph.value_info[:]  # Some state a batch size.
    part = Extractor(model).extract_model([graph.input], [values])
    assert graph.input_shape is not None
    for axis, size in zip(
        part.graph.input[0].type.tensor_type.shape.dim, graph.input_shape, strict=True
    ):
        axis.Clear()
        if size is not None:
            axis.dim_value = size
    operators = {("" if one.domain == "ai.onnx" else one.domain): one for one in part.opset_import}
    used = {"" if node.domain == "ai.onnx" else node.domain for node in part.graph.node} | {""}
    versions = [helper.make_opsetid(name, operators[name].version) for name in sorted(used)]
    del part.opset_import[:]
    part.opset_import.extend(versions)
    return part


def _convert_to(function: Any, version: int) -> Any:
    """Return a function in a version of ONNX's own operators, and no others."""
    from onnx import helper, version_converter

    model = convert(function, min(version, _MOST))
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", min(version, _MOST)))
    return model if version <= _MOST else version_converter.convert_version(model, version)


def _prefix(model: Any, prefix: str, *, rename_inputs: bool = True) -> Any:
    """Put a prefix before all names, so that no two parts share one."""
    from onnx import compose

    return compose.add_prefix(model, prefix, rename_inputs=rename_inputs)


def _join(one: Any, other: Any) -> Any:
    """Put a model of one input behind another one of one output."""
    from onnx import compose

    version = max(one.ir_version, other.ir_version)
    one.ir_version = other.ir_version = version
    tensors = (one.graph.output[0].name, other.graph.input[0].name)
    return compose.merge_models(one, other, io_map=[tensors])
