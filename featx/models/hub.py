"""Modules of TensorFlow Hub: TF2 modules called as functions, TF1 modules by their signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.engines.tensorflow_graph import CompiledLayers, FrozenGraph, merge_layers
from featx.errors import InvalidValue, ModelError, UnknownName, first_line, join_names
from featx.input_spec import InputSpec
from featx.models.backbone import ModelRequest
from featx.models.content_hash import hash_files
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.models.graph_layers import GraphLayers, output_names, require_layers
from featx.models.hub_cache import fetch_module, module_folder, replaced_module
from featx.models.input_contract import InputShape, image_contract, read_input_shape
from featx.models.other_signatures import OtherSignature
from featx.models.reference import is_module_url
from featx.models.savedmodel_archive import unpacked
from featx.models.savedmodel_damage import is_damage
from featx.models.savedmodel_folder import savedmodel_files
from featx.models.signatures import (
    DEFAULT_SIGNATURE,
    TRAINING_NOTE,
    describe_signatures,
    find_graph_layers,
    freeze_signature,
    list_signatures,
    load_folder,
    take_signature,
)
from featx.specs import ModelSpec
from featx.wording import option

_CALLS: tuple[dict[str, bool], ...] = (
    {"training": False, "return_endpoints": True},
    {"return_endpoints": True},
    {"training": False},
    {},
)
"""How TF2 modules are called, the best first; modules do not say which arguments they take."""

_FIRST_SIGNATURES = ("default", DEFAULT_SIGNATURE)
"""Names of the signature that is taken when none is named, in TF1 modules and exported models."""

_DEFAULT_OUTPUT = "default"
"""What modules call their result: the vector of a feature_vector module, the classes of others."""


def load(request: ModelRequest) -> GraphBackbone:
    """Load a module from the URL of its page or from a folder; see `load_model`."""
    wanted = take_signature(request, "A Hub module")
    folder, loaded = _load_module(request)
    signatures = list_signatures(loaded)
    is_url = is_module_url(request.name)
    location = request.name if is_url else str(Path(request.name).absolute())
    name = location if is_url else Path(location).name
    chosen = _choose(loaded, signatures, wanted, name)
    first: _FunctionPart | _SignaturePart
    if chosen is None:
        first = _FunctionPart(loaded, request, name)
    else:
        first = _SignaturePart(signatures[chosen], chosen, request, name)
    others: list[OtherSignature] = []
    if wanted is None:
        others = [
            OtherSignature(loaded, other, first.shape, first.contract, name)
            for other, function in signatures.items()
            if other != chosen and len(function.structured_input_signature[1]) == 1
        ]
    layers = [*(layer for other in others for layer in other.layers), *first.layers.layers]
    require_layers(layers, name)

    def compile_layers(names: tuple[str, ...]) -> CompiledLayers:
        own = {layer.name for layer in first.layers.layers}
        groups: list[tuple[Callable[[Sequence[str]], CompiledLayers], list[str]]]
        groups = [(first.layers.compile, [layer for layer in names if layer in own])]
        groups += [(other.compile, [n for n in names if n in other.names]) for other in others]
        return merge_layers([function(group) for function, group in groups if group], names)

    spec = ModelSpec(
        source="hub",
        name=name,
        arguments=(("signature", wanted),) if wanted else (),
        location=location,
        weights_sha256=hash_files(folder, savedmodel_files(folder)),
        input=first.contract,
    )
    notes = [describe_signatures(signatures, chosen)] if signatures else []
    has_default = _DEFAULT_OUTPUT in {layer.name for layer in layers}
    description = ModelDescription(
        spec,
        layers,
        default_layer=_DEFAULT_OUTPUT if has_default else None,
        channels_first=first.shape.channels_first,
        notes=[*([first.note] if first.note else []), *notes],
        inner_scaling=first.layers.inner_scaling,
        any_size=first.shape.takes_any_size(request.overrides.size),
        packages=["tensorflow-hub"] if is_url else [],
    )
    return GraphBackbone(description, compile_layers)


def _load_module(request: ModelRequest) -> tuple[Path, Any]:
    """Find the module's folder and load it; a damaged download is fetched once more."""
    name, trust = request.name, bool(request.trust_model_code)
    if not is_module_url(name):
        folder = unpacked(Path(name).absolute())
        if not folder.is_dir():
            raise ModelError(
                f"There is no folder {str(folder)!r}. A Hub module is named by the URL of its "
                "page (hub:https://tfhub.dev/...) or by the folder into which it was unpacked."
            )
        return folder, load_folder(folder, trust_model_code=trust)
    folder = fetch_module(name, allow_download=request.allow_download)
    try:
        return folder, load_folder(folder, trust_model_code=trust)
    except ModelError as error:
        may_replace = request.allow_download and folder == module_folder(name)
        if not (may_replace and is_damage(error.__cause__)):
            raise
        try:
            with replaced_module(folder):
                folder = fetch_module(name)
                return folder, load_folder(folder, trust_model_code=trust)
        except ModelError:
            raise error from error.__cause__


def _choose(loaded: Any, signatures: dict[str, Any], wanted: str | None, model: str) -> str | None:
    """Return the signature to take, or None to call the module."""
    names = list(signatures)
    if wanted is not None:
        if wanted not in names:
            has = f"It has {join_names(names, conjunction='and')}." if names else "It has none."
            raise UnknownName(f"signature of {model}", wanted, names, remedy=has)
        return wanted
    if callable(loaded):
        return None
    for name in _FIRST_SIGNATURES:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise ModelError(
        f"{model!r} cannot be called as a function, and has "
        + (f"the signatures {join_names(names, conjunction='and')}: choose one with "
        f"{option('signature')}."
           if names else "no signatures: there is nothing that takes images.")
    )  # fmt: skip


def _hub_contract(shape: InputShape, request: ModelRequest, name: str, dtype: Any) -> InputSpec:
    """Return the contract that all image modules of TF-Hub share: RGB in [0, 1].

    https://www.tensorflow.org/hub/common_signatures/images
    """
    contract = image_contract(shape, request.overrides.size, name)
    is_integer = dtype.is_integer
    contract = request.overrides.apply(replace(contract, scaling="raw" if is_integer else "unit"))
    if is_integer and contract.scaling != "raw":
        raise InvalidValue(
            f"{name!r} takes whole numbers, from 0 to 255. Received: "
            f"{option('preprocess', contract.scaling)}. Leave it out."
        )
    return contract


class _SignaturePart:
    """One signature: its outputs, and the tensors before them."""

    def __init__(self, function: Any, signature: str, request: ModelRequest, name: str) -> None:
        graph, self.shape = freeze_signature(function, signature, name)
        self.note = TRAINING_NOTE if graph.trains else ""
        self.contract = _hub_contract(self.shape, request, name, graph.input.dtype)
        names = sorted(function.structured_outputs)
        self.layers: GraphLayers = find_graph_layers(
            graph, self.shape, self.contract, names, "output"
        )


class _FunctionPart:
    """A TF2 module as a function: its endpoints or its result, and the tensors before them."""

    def __init__(self, loaded: Any, request: ModelRequest, name: str) -> None:
        spec = _input_of(loaded, name)
        self.shape = read_input_shape(
            None if spec.shape.rank is None else spec.shape.as_list(), name
        )
        self.contract = _hub_contract(self.shape, request, name, spec.dtype)
        function, arguments = _trace(loaded, spec.dtype, self.shape.batch(self.contract), name)
        with_endpoints = "return_endpoints" in arguments
        self.note = "called as a function" + (" with return_endpoints=True" * with_endpoints)
        names = output_names(function.structured_outputs)
        kind = "endpoint" if with_endpoints else "output"
        graph = FrozenGraph(function)
        self.note += f"; {TRAINING_NOTE}" if graph.trains else ""
        self.layers: GraphLayers = find_graph_layers(graph, self.shape, self.contract, names, kind)


def _input_of(loaded: Any, name: str) -> Any:
    """Return the specification of the first argument that a module was saved with."""
    tensorflow = import_tensorflow()
    for function in getattr(loaded.__call__, "concrete_functions", []):
        positional, keywords = function.structured_input_signature
        for spec in [*positional, *keywords.values()]:
            if isinstance(spec, tensorflow.TensorSpec):
                return spec
    raise ModelError(
        f"{name!r} does not say what it is called with: it was saved without a concrete function."
    )


def _trace(loaded: Any, dtype: Any, batch: Sequence[int | None], name: str) -> tuple[Any, Any]:
    """Trace a module on images, with as many of the usual arguments as it takes."""
    tensorflow = import_tensorflow()
    signature = tensorflow.TensorSpec(batch, dtype)
    reasons: list[Exception] = []
    for arguments in _CALLS:

        def call(images: Any, arguments: dict[str, bool] = arguments) -> Any:
            return loaded(images, **arguments)

        try:
            function = tensorflow.function(call, autograph=False)
            return function.get_concrete_function(signature), arguments
        except (TypeError, ValueError) as error:  # "Binding inputs ..." and "Could not find ...".
            reasons.append(error)
    raise ModelError(
        f"{name!r} cannot be called with images of shape {tuple(batch)}: {first_line(reasons[-1])}"
    ) from reasons[-1]
