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
    refuse_weights,
    scale_for_dtype,
)
from featx.models.keras_layers import KerasLayers
from featx.models.keras_loading import LoadedModel, load_keras_file, take_model
from featx.models.keras_part import exported_size
from featx.specs import ModelSpec, split_constants


def load(request: ModelRequest) -> GraphBackbone:
    """Load a Keras file without running code from it; see `featx.models.load_model`."""
    path = Path(request.name).absolute()
    refuse_weights(request, "Keras file")
    loaded = load_keras_file(path, request.arguments, trust_model_code=request.trust_model_code)
    return _describe(loaded, request, path.name, str(path))


def load_object(request: ModelRequest) -> GraphBackbone:
    """Take a model of the calling program; see `featx.models.load_model`."""
    refuse_weights(request, "Keras model")
    loaded = take_model(request.model, request.arguments, request.name)
    return _describe(loaded, request, request.name, LOCATION)


def _describe(
    loaded: LoadedModel, request: ModelRequest, name: str, location: str
) -> GraphBackbone:
    found = loaded.input
    shape = read_input_shape(found.shape, name)
    size = request.overrides.size or exported_size(found.model)
    own = image_contract(shape, size, name)
    layers = KerasLayers(
        found.model,
        own,
        shape,
        input_dtype=found.dtype,
        layer_class=loaded.layer_class,
        feed=found.feed,
    )
    contract = request.overrides.apply(own_contract(own, layers.inner_scaling))
    contract = scale_for_dtype(contract, "int" in found.dtype, name)
    arguments, constants = split_constants(request.arguments)
    spec = ModelSpec(
        source="file",
        name=name,
        arguments=arguments,
        constants=constants,
        location=location,
        weights_sha256=loaded.weights_sha256,
        input=contract,
        file_sha256=loaded.file_sha256,
        computed_sha256=None
        if loaded.computed_sha256 == loaded.weights_sha256
        else loaded.computed_sha256,
    )
    is_legacy = loaded.layer_class is not None
    is_old_file = is_legacy and request.model is None
    notes = ["saved by Keras 2, loaded by tf_keras"] if is_old_file else []
    description = ModelDescription(
        spec,
        layers.layers,
        len(found.model.layers),
        channels_first=shape.channels_first,
        notes=[*notes, *found.notes],
        packages=["tf_keras"] if is_legacy else [],
        runs_own_code=loaded.runs_own_code,
        inner_scaling=layers.inner_scaling,
        any_size=shape.takes_any_size(size),
    )
    return GraphBackbone(description, layers.compile, find_layers=lambda: layers)
