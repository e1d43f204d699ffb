"""ONNX models, as PyTorch and many others export them: run by OpenVINO, without TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from featx.engines.graph import ONNX, GraphOutput, NetworkGraph, NotConvertible
from featx.engines.openvino_onnx import OnnxInput, OpenedOnnx, Shape
from featx.errors import ModelError
from featx.files import hash_file
from featx.input_spec import InputSpec
from featx.models.backbone import ModelRequest
from featx.models.description import ModelDescription
from featx.models.graph_layers import require_layers
from featx.models.graph_only import GraphOnlyBackbone
from featx.models.inner_scaling import own_contract, recognize_scaling
from featx.models.input_contract import (
    InputShape,
    image_contract,
    read_input_shape,
    refuse_arguments,
    scale_for_dtype,
)
from featx.models.onnx_format import OnnxFile, read_onnx_file
from featx.models.onnx_layers import find_layers
from featx.specs import ModelSpec

_PROBE = 7
"""A batch size that no exporter writes into a model, to find out whether it takes any."""


def load(request: ModelRequest) -> GraphOnlyBackbone:
    """Load an ONNX model; see `featx.models.load_model`."""
    path = Path(request.name).absolute()
    refuse_arguments(request, "ONNX model")
    file = read_onnx_file(path)
    opened = _open(path)
    input = _find_input(opened, path.name)
    shape = _read_shape(input, path.name)
    contract = image_contract(shape, request.overrides.size, path.name)
    found = opened.find_scaling()
    inner = None if found is None else recognize_scaling((), *found)
    contract = request.overrides.apply(own_contract(contract, inner))
    contract = scale_for_dtype(contract, input.is_integer, path.name)
    batch, shapes = _find_batch(opened, file, input, shape, contract, path.name)
    layers = find_layers(
        file,
        input.name,
        shapes,
        batch or _PROBE,
        types=opened.find_types(),
        channels_first=shape.channels_first,
    )
    require_layers(layers, path.name)
    spec = ModelSpec(
        source="onnx",
        name=path.name,
        arguments=(),
        location=str(path),
        weights_sha256=hash_model(path, file),
        input=contract,
    )
    description = ModelDescription(
        spec,
        layers,
        channels_first=shape.channels_first,
        inner_scaling=inner,
        any_size=shape.takes_any_size(request.overrides.size),
        notes=[] if batch is None else [f"its batch size is fixed: {batch}"],
    )
    layouts = {layer.name: layer.layout for layer in layers}

    def build_graph(names: tuple[str, ...]) -> NetworkGraph:
        return NetworkGraph(
            ONNX,
            path,
            input.name,
            "channels_first" if shape.channels_first else "channels_last",
            {name: GraphOutput(name, layouts[name]) for name in names},
            input_shape=(batch, *shape.batch(contract)[1:]),
        )

    return GraphOnlyBackbone(description, build_graph)


def _read_shape(input: OnnxInput, name: str) -> InputShape:
    shape = read_input_shape(input.shape, name)
    if not shape.has_channel_axis:
        raise ModelError(
            f"featx feeds ONNX models images with an axis of channels. Received: {name!r} "
            f"with an input of shape {tuple(input.shape or ())}. Export it with (batch, 1, "
            "height, width)."
        )
    return shape


def hash_model(path: Path, file: OnnxFile) -> str:
    """Return the SHA-256 of a model: of its file, or of that and the files with its weights."""
    if not file.external:
        return hash_file(path)
    hashes = [hash_file(part) for part in (path, *file.external)]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _open(path: Path) -> OpenedOnnx:
    try:
        return OpenedOnnx(path)
    except NotConvertible as error:
        reason = str(error).rstrip(".")
        raise ModelError(f"OpenVINO cannot read the ONNX model {path.name!r}: {reason}.") from error


def _find_input(opened: OpenedOnnx, name: str) -> OnnxInput:
    inputs = opened.inputs
    if len(inputs) != 1:
        names = ", ".join(repr(input.name) for input in inputs) or "none"
        raise ModelError(
            f"featx feeds models one image. Received: {name!r} with {len(inputs)} inputs ({names})."
        )
    return inputs[0]


def _find_batch(
    opened: OpenedOnnx,
    file: OnnxFile,
    input: OnnxInput,
    shape: InputShape,
    contract: InputSpec,
    name: str,
) -> tuple[int | None, Mapping[str, Shape]]:
    """Find out whether a model takes any number of images at a time.

    Exporters often state a batch size of 1 although any would do; some write it into the inside.

    Returns:
        The batch size that is fixed, or None; and the shapes of tensors for it, or for `_PROBE`.

    Raises:
        ModelError: If it cannot take images of that size at all.
    """
    sizes = [size or 1 for size in shape.batch(contract)[1:]]
    stated = input.shape[0] if input.shape else None
    reason = "its results are not one row for each image"
    try:
        shapes = opened.find_shapes([_PROBE, *sizes])
        results = [shapes[result] for result in file.outputs if shapes.get(result)]
        if stated is None or all(result[0] == _PROBE for result in results):
            return None, shapes
    except NotConvertible as error:
        reason = str(error).rstrip(".")
    if stated is not None:
        try:
            return stated, opened.find_shapes([stated, *sizes])
        except NotConvertible as error:
            reason = str(error).rstrip(".")
    raise ModelError(
        f"{name!r} cannot be run on {contract.height} x {contract.width} images: {reason}."
    )
