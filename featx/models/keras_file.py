"""Networks of Keras: ``.keras`` and ``.h5`` files, and models in memory."""

from __future__ import annotations

from pathlib import Path

from featx.models.backbone import ModelRequest
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.models.in_memory import LOCATION
from featx.models.inner_scaling import own_contract
from featx.models.input_contract import (
    image_contract,
    read_input_shape,
    refuse_arguments,
    scale_for_dtype,
)
from featx.models.keras_layers import KerasLayers
from featx.models.keras_loading import LoadedModel, load_keras_file, take_model
from featx.specs import ModelSpec


def load(request: ModelRequest) -> GraphBackbone:
    """Load a Keras file without running code from it; see `featx.models.load_model`."""
    path = Path(request.name).absolute()
    refuse_arguments(request, "Keras file", allowed=["part"])
    part = request.arguments.get("part")
    loaded = load_keras_file(
        path, None if part is None else str(part), trust_model_code=request.trust_model_code
    )
    return _describe(loaded, request, path.name, str(path))


def load_object(request: ModelRequest) -> GraphBackbone:
    """Take a model of the calling program; see `featx.models.load_model`."""
    refuse_arguments(request, "Keras model", allowed=["part"])
    part = request.arguments.get("part")
    loaded = take_model(request.model, None if part is None else str(part), request.name)
    return _describe(loaded, request, request.name, LOCATION)


def _describe(
    loaded: LoadedModel, request: ModelRequest, name: str, location: str
) -> GraphBackbone:
    part = request.arguments.get("part")
    shape = read_input_shape(loaded.input_shape, name)
    own = image_contract(shape, request.overrides.size, name)
    layers = KerasLayers(
        loaded.model, own, shape, input_dtype=loaded.input_dtype, layer_class=loaded.layer_class
    )
    contract = request.overrides.apply(own_contract(own, layers.inner_scaling))
    contract = scale_for_dtype(contract, "int" in loaded.input_dtype, name)
    spec = ModelSpec(
        source="file",
        name=name,
        arguments=(("part", part),) if part is not None else (),
        location=location,
        weights_sha256=loaded.weights_sha256,
        input=contract,
        file_sha256=loaded.file_sha256,
    )
    is_legacy = loaded.layer_class is not None
    description = ModelDescription(
        spec,
        layers.layers,
        len(loaded.model.layers),
        channels_first=shape.channels_first,
        notes=["saved by Keras 2, loaded by tf_keras"]
        if is_legacy and request.model is None
        else [],
        packages=["tf_keras"] if is_legacy else [],
        runs_own_code=loaded.runs_own_code,
        inner_scaling=layers.inner_scaling,
        any_size=shape.takes_any_size(request.overrides.size),
    )
    return GraphBackbone(description, layers.compile)
