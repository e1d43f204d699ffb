"""Networks saved by Keras: ``.keras`` and ``.h5`` files."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError, first_line
from featx.files import hash_file
from featx.models.backbone import ModelRequest
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.models.inner_scaling import own_contract
from featx.models.input_contract import (
    image_contract,
    read_input_shape,
    refuse_arguments,
    scale_for_dtype,
)
from featx.models.keras_contents import refuse_data_elsewhere
from featx.models.keras_layers import KerasLayers
from featx.models.legacy_keras import is_legacy, load_legacy
from featx.models.model_code import (
    describe_unregistered,
    find_code,
    find_unregistered,
    imported_code,
    read_config,
    refuse_code,
    uses_registered,
)
from featx.specs import ModelSpec


def load(request: ModelRequest) -> GraphBackbone:
    """Load a Keras file without running code from it; see `featx.models.load_model`."""
    path = Path(request.name).absolute()
    refuse_arguments(request, "Keras file")
    trust = request.trust_model_code
    model, layer_class = _load_model(path, trust_model_code=trust)
    shape = read_input_shape(tuple(model.inputs[0].shape), path.name)
    own = image_contract(shape, request.overrides.img_size, path.name)
    layers = KerasLayers(model, own, channels_first=shape.channels_first, layer_class=layer_class)
    contract = request.overrides.apply(own_contract(own, layers.inner_scaling))
    is_integer = "int" in str(model.inputs[0].dtype)
    contract = scale_for_dtype(contract, is_integer, path.name)
    spec = ModelSpec(
        source="file",
        name=path.name,
        arguments=(),
        location=str(path),
        weights_sha256=hash_file(path),
        input=contract,
    )
    legacy = ["saved by Keras 2, loaded by tf_keras"] if layer_class is not None else []
    description = ModelDescription(
        spec,
        layers.layers,
        len(model.layers),
        channels_first=shape.channels_first,
        notes=legacy,
        packages=["tf_keras"] if legacy else [],
        runs_own_code=trust or uses_registered(read_config(path)),
        inner_scaling=layers.inner_scaling,
    )
    return GraphBackbone(description, layers.compile)


def _load_model(path: Path, *, trust_model_code: bool) -> tuple[Any, Any]:
    """Return the model, and the base class of its layers where that is not Keras 3's."""
    import_tensorflow()
    import keras

    if not path.is_file():
        raise ModelError(f"There is no model file {str(path)!r}.")
    config = read_config(path)
    code = find_code(config)
    if not trust_model_code:
        if not config:
            raise ModelError(
                f"Keras cannot load {str(path)!r}: it holds no readable architecture. Is it a "
                "whole model (not weights alone), written by model.save()?"
            )
        refuse_code(path, code)
    refuse_data_elsewhere(path)
    layer_class: Any = None
    with imported_code(path, code) as classes, contextlib.redirect_stdout(sys.stderr):
        options = {"compile": False, "safe_mode": not trust_model_code}
        try:
            model = keras.models.load_model(path, custom_objects=classes, **options)
        except Exception as error:  # Keras raises many kinds for files that it cannot read.
            missing = find_unregistered(config)
            if missing:
                raise ModelError(describe_unregistered(path, missing)) from error
            if not is_legacy(path, config):
                raise ModelError(f"Keras cannot load {str(path)!r}: {first_line(error)}") from error
            model, layer_class = load_legacy(path, classes, error, options)
    if not getattr(model, "inputs", None):
        raise ModelError(
            f"{path.name!r} is a subclassed model without a symbolic input, so its layers cannot "
            "be taken. Write it with model.export('folder') and use savedmodel:folder."
        )
    if len(model.inputs) != 1:
        names = ", ".join(repr(tensor.name) for tensor in model.inputs)
        raise ModelError(
            f"featx feeds models one image. Received: {path.name!r} with "
            f"{len(model.inputs)} inputs ({names})."
        )
    return model, layer_class
