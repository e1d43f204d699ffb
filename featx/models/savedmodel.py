"""Exported SavedModels: outputs of a signature, and the tensors on the way to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from featx.errors import ModelError, UnknownName, join_names
from featx.models.backbone import ModelRequest
from featx.models.content_hash import hash_files
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.models.graph_layers import require_layers
from featx.models.inner_scaling import own_contract
from featx.models.input_contract import image_contract, scale_for_dtype
from featx.models.savedmodel_folder import savedmodel_files
from featx.models.signatures import (
    DEFAULT_SIGNATURE,
    TEXT_NOTE,
    TRAINING_NOTE,
    describe_signatures,
    find_graph_layers,
    freeze_signature,
    list_signatures,
    take_signature,
    takes_pixels,
    takes_text,
)
from featx.specs import ModelSpec


def load(request: ModelRequest, folder: Path, loaded: Any) -> GraphBackbone:
    """Make a backbone of one signature of a SavedModel.

    Args:
        request: What was asked for.
        folder: The model's folder; in the cache, if it came in an archive.
        loaded: The folder, as `load_folder` returned it.

    Raises:
        ModelError: If it has no signature that takes one image.
        UnknownName: If it has several, and none was named, or one that does not exist.
    """
    path = Path(request.name).absolute()
    wanted = take_signature(request, "A SavedModel")
    signatures = list_signatures(loaded)
    name, signature = _choose_signature(signatures, wanted, path.name)
    replaced = (
        [TEXT_NOTE.format(DEFAULT_SIGNATURE, name)]
        if (wanted is None and name != DEFAULT_SIGNATURE and DEFAULT_SIGNATURE in signatures)
        else []
    )
    graph, shape = freeze_signature(signature, name, path.name)
    own = image_contract(shape, request.overrides.img_size, path.name)
    layers = find_graph_layers(graph, shape, own, sorted(signature.structured_outputs), "output")
    require_layers(layers.layers, path.name)
    contract = request.overrides.apply(own_contract(own, layers.inner_scaling))
    contract = scale_for_dtype(contract, graph.input.dtype.is_integer, path.name)
    spec = ModelSpec(
        source="savedmodel",
        name=path.name,
        arguments=(("signature", name),) if wanted else (),
        location=str(path),
        weights_sha256=hash_files(folder, savedmodel_files(folder)),
        input=contract,
    )
    description = ModelDescription(
        spec,
        layers.layers,
        channels_first=shape.channels_first,
        notes=[
            describe_signatures(signatures, name),
            *replaced,
            *([TRAINING_NOTE] if graph.trains else []),
        ],
        inner_scaling=layers.inner_scaling,
    )
    return GraphBackbone(description, layers.compile)


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
            remedy=f"It has {join_names(names, conjunction='and')}. Choose with --signature NAME "
            f"(or {model},signature=NAME).",
        )
    return name, signatures[name]
