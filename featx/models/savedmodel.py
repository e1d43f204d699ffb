"""Exported SavedModels: outputs of a signature, and the tensors on the way to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx.engines.tensorflow_graph import FrozenGraph
from featx.errors import InvalidValue, ModelError, UnknownName, join_names
from featx.models.backbone import ModelRequest
from featx.models.content_hash import hash_files
from featx.models.description import ModelDescription, Origin
from featx.models.free_inputs import ChosenInputs, describe_constants
from featx.models.graph_backbone import GraphBackbone
from featx.models.graph_layers import require_layers
from featx.models.in_memory import LOCATION
from featx.models.inner_scaling import own_contract
from featx.models.input_contract import (
    InputShape,
    image_contract,
    refuse_weights,
    scale_for_dtype,
)
from featx.models.savedmodel_folder import savedmodel_files
from featx.models.savedmodel_graph import freeze_input, has_graph
from featx.models.signatures import (
    DEFAULT_SIGNATURE,
    TEXT_NOTE,
    TRAINING_NOTE,
    describe_signatures,
    find_graph_layers,
    freeze_chosen,
    list_signatures,
    takes_pixels,
    takes_text,
)
from featx.specs import ModelSpec, split_constants
from featx.wording import option


def load(request: ModelRequest, folder: Path, loaded: Any) -> GraphBackbone:
    """Make a backbone of a SavedModel in a folder; see `describe`.

    Args:
        request: What was asked for.
        folder: The model's folder; in the cache, if it came in an archive.
        loaded: The folder, as `load_folder` returned it.
    """
    path = Path(request.name).absolute()
    sha256 = hash_files(folder, savedmodel_files(folder))
    return describe(request, loaded, Origin("savedmodel", path.name, str(path), sha256))


def describe(request: ModelRequest, loaded: Any, origin: Origin) -> GraphBackbone:
    """Make a backbone of one signature of a SavedModel, or of its graph from an input on.

    Raises:
        ModelError: If it has no signature that takes one image.
        UnknownName: If it has several, and none was named, or one that does not exist.
    """
    signatures = list_signatures(loaded)
    refuse_weights(request, "SavedModel")
    wanted = None if "signature" not in request.arguments else str(request.arguments["signature"])
    arguments, constants = split_constants(request.arguments)
    notes: list[str] = []
    if "input" in request.arguments and not signatures and not has_graph(loaded):
        raise ModelError(
            f"{origin.name!r} was saved by TensorFlow 2, as functions: it has no input to choose. "
            f"Choose a signature, with {option('signature', 'NAME')}."
        )
    if has_graph(loaded) and ("input" in request.arguments or not signatures):
        graph, shape, outputs = _take_input(request, Path(origin.name), loaded)
        notes += describe_constants(ChosenInputs("", {}), dict(constants))
    else:
        name, signature = _choose_signature(signatures, wanted, origin.name)
        shown = "DIR" if origin.location == LOCATION else origin.name
        graph, shape, said = freeze_chosen(signature, name, shown, request.arguments)
        outputs = sorted(signature.structured_outputs)
        notes += [describe_signatures(signatures, name), *said]
        if wanted is None and name != DEFAULT_SIGNATURE and DEFAULT_SIGNATURE in signatures:
            notes.append(TEXT_NOTE.format(DEFAULT_SIGNATURE, name))
    own = image_contract(shape, request.overrides.size, origin.name)
    layers = find_graph_layers(graph, shape, own, outputs, "output")
    require_layers(layers.layers, origin.name)
    contract = request.overrides.apply(own_contract(own, layers.inner_scaling))
    contract = scale_for_dtype(contract, graph.input.dtype.is_integer, origin.name)
    spec = ModelSpec(
        source=origin.source,
        name=origin.name,
        arguments=arguments,
        constants=constants,
        location=origin.location,
        weights_sha256=origin.weights_sha256,
        input=contract,
    )
    description = ModelDescription(
        spec,
        layers.layers,
        channels_first=shape.channels_first,
        notes=[*notes, *([TRAINING_NOTE] if graph.trains else [])],
        inner_scaling=layers.inner_scaling,
        any_size=shape.takes_any_size(request.overrides.size),
    )
    return GraphBackbone(description, layers.compile)


def _take_input(
    request: ModelRequest, path: Path, loaded: Any
) -> tuple[FrozenGraph, InputShape, list[str]]:
    """Take the graph of a model from an input on; see `freeze_input`."""
    chosen = request.arguments.get("input")
    if "signature" in request.arguments:
        raise InvalidValue(
            "A SavedModel is taken by a signature or from an input on. Received: both, "
            "'signature' and 'input'. Leave one out."
        )
    return freeze_input(
        loaded,
        None if chosen is None else str(chosen),
        dict(split_constants(request.arguments)[1]),
        path,
        trust_model_code=bool(request.trust_model_code),
    )


def _choose_signature(
    signatures: dict[str, Any], wanted: str | None, model: str
) -> tuple[str, Any]:
    names = list(signatures)
    if not names:
        raise ModelError(
            f"{model!r} has no signatures. Export it with model.export(...), or with "
            "tf.saved_model.save(..., signatures=...); a module that is called as a function is "
            "named hub:DIR."
        )
    name = wanted or (DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in names else names[0])
    if wanted is None and name == DEFAULT_SIGNATURE and takes_text(signatures[name]):
        others = [other for other in names if takes_pixels(signatures[other])]
        if len(others) == 1:
            return others[0], signatures[others[0]]
        names = others or names
    if name not in names or (wanted is None and name != DEFAULT_SIGNATURE and len(names) > 1):
        raise UnknownName(
            f"signature of {model}",
            name if wanted else DEFAULT_SIGNATURE,
            names,
            remedy=f"It has {join_names(names, conjunction='and')}. Choose with "
            f"{option('signature', 'NAME')} (or {model},signature=NAME).",
        )
    return name, signatures[name]
