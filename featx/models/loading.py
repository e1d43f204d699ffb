"""Loading models: by a reference, with their classifier, or as they were recorded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from featx.arguments import plain_arguments
from featx.checks.texts import check_path
from featx.errors import FingerprintMismatch, InvalidValue, ModelError
from featx.input_spec import DECODE_MARGIN, InputSpec
from featx.keywords import LoadKeywords
from featx.models.backbone import Backbone, ModelRequest
from featx.models.in_memory import (
    LOCATION,
    InMemory,
    Reference,
    check_given_model,
    refuse_absent,
)
from featx.models.reference import TRUST, parse_reference
from featx.models.remembered import recall, remember, request_key
from featx.models.sources import SOURCES
from featx.options import InputOptions, fill_group
from featx.specs import NAMED_SOURCES, ModelSpec, as_recorded, identity_differences, with_input
from featx.trust import GivenTrust, Trust, check_trust
from featx.wording import option


@plain_arguments(InputOptions, model=check_given_model)
def load_model(
    model: Any,
    *,
    weights: str | Path | None = None,
    input: InputOptions | None = None,
    trust_model_code: GivenTrust = False,
    **options: Unpack[LoadKeywords],
) -> Backbone:
    """Load a model, ready to describe its layers and to compute them.

    Args:
        model: ``SOURCE:NAME,argument=value``, for example ``keras:MobileNet,alpha=0.25`` (see
            `featx.models.sources` for all of them), or a bare name, path or URL that only one
            source reads. SavedModels and modules take ``,signature=NAME``. Or a model itself: of
            Keras, sub-models too, a function of `keras.applications`, a ``tf.Module``, a
            ``tf.function``, or what ``tf.saved_model.load`` and ``hub.load`` return. Nothing of it
            is changed.
        weights: For Keras applications: ``imagenet`` (downloaded by Keras once; the default),
            ``random`` (seeded: the same in every run), or the path of a weights file, with or
            without the classifier. None for models that bring their own.
        input: Changes to how pictures become the model's pixels.
        trust_model_code: Run code that comes with a Keras file: Lambda layers, and classes of
            modules beside it. Or the path of a Python file, to run it and take classes and
            functions from there. The reference can say the same, ``,trust_model_code=True``.
        options: Fields of `input` as keywords, such as ``img_size=(224, 320)``; and
            ``custom_objects``, classes and functions by the names that a Keras file has for them,
            which need no trust.

    Returns:
        The backbone. Nothing is compiled before it is called.

    Raises:
        UnknownName: If there is no such model; similar names are suggested.
        AmbiguousName: If the name has several readings.
        ModelError: If the model cannot be loaded or is not one image in, arrays out.

    Example:
        >>> load_model("keras:VGG91")
        Traceback (most recent call last):
        ...
        featx.errors.UnknownName: There is no Keras application named 'VGG91'. Did you mean ...
    """
    changes = fill_group(InputOptions, input, options)
    source, request = read_request(
        check_given_model("model", model), check_path("weights", weights), changes, trust_model_code
    )
    return _load(source, request)


def load_classifier(
    model: Reference,
    *,
    weights: str | None = None,
    input: InputOptions | None = None,
    trust_model_code: GivenTrust = False,
) -> Backbone:
    """Load a model with its classifier: of a Keras application the whole, at any input size.

    Args: see `load_model`.

    Raises:
        InvalidValue: If the reference leaves the classifier out.
        ModelError: If the model has none, or the weights file does not hold it.

    Example:
        >>> load_classifier("builtin:mini")
        Traceback (most recent call last):
        ...
        featx.errors.ModelError: builtin:mini knows no classes of its own. Fit a head on its ...
    """
    changes = input or InputOptions()
    source, request = read_request(model, weights, changes, trust_model_code)
    return _load(source, SOURCES[source].with_classifier(request))


def restore_model(
    spec: ModelSpec,
    *,
    weights: str | None = None,
    trust_model_code: GivenTrust = False,
    allow_download: bool = False,
    model: InMemory | None = None,
) -> Backbone:
    """Load the very model that made some features, and prove that it is the same.

    Args:
        spec: The model as recorded.
        weights: Where its weights (or its file or folder) are now; where they were when None.
        trust_model_code: See `load_model`. It is not remembered: a file may be exchanged.
        allow_download: Fetch what is recorded, if it is not here. What `weights` names is fetched
            anyway.
        model: The model itself, if it is in memory.

    Raises:
        NotInstalled: If its source belongs to an add-on that is not installed.
        FingerprintMismatch: If the weights or files have changed since; says what differs.
        ModelError: If they are no longer there, or cannot be loaded.
    """
    maker = f"The model {spec.reference!r} that made these features"
    SOURCES.restore(spec.source, maker, spec.package)
    location = weights or spec.location
    if model is not None and spec.source in NAMED_SOURCES:
        raise ModelError(
            f"{maker} is found by that name. Received: a model in memory, {model.name!r}, which is "
            "known by what it computes. Leave it out, or extract with it into a store of its own."
        )
    if spec.location == LOCATION and weights is None and model is None:
        raise refuse_absent(spec.reference, SOURCES[spec.source].spellings)
    if model is None and os.path.isabs(spec.location) and not os.path.exists(location):
        raise ModelError(
            f"{maker} was at {location!r}; nothing is there now. Put it back, or say where it is "
            f"with {option('weights', 'PATH')}."
        )
    request = restore_request(spec, location)
    request = replace(
        request,
        trust_model_code=check_trust(TRUST, trust_model_code),
        allow_download=allow_download or weights is not None,
    )
    source = spec.source
    if model is not None:
        source = model.source
        request = replace(request, name=model.name, model=model.model)
    backbone = _load(source, request)
    margin = spec.input.decode_margin  # Of the time when the features were made.
    backbone.spec = with_input(backbone.spec, decode_margin=margin)
    backbone.spec = as_recorded(backbone.spec, spec)
    differences = identity_differences(spec.identity(), backbone.spec.identity())
    if differences:
        where = "given" if model is not None else f"at {location!r}"
        raise FingerprintMismatch(
            f"The model {where} is not the one that made these features.",
            differences,
            remedy="Bring the old model back, or extract again into a new store.",
        )
    return backbone


def read_request(
    model: Reference, weights: str | None, changes: InputOptions, trust_model_code: GivenTrust
) -> tuple[str, ModelRequest]:
    """Return the source of a reference, and the request for it.

    Raises:
        UnknownName: If there is no such model.
        InvalidValue: If weights are given for a model in memory.
    """
    if isinstance(model, InMemory):
        if weights is not None:
            raise InvalidValue(
                f"A model in memory has its weights. Received: {option('weights', weights)}. "
                "Leave it out."
            )
        request = ModelRequest(
            model.name,
            dict(model.arguments),
            overrides=changes,
            trust_model_code=check_trust(TRUST, trust_model_code),
            model=model.model,
        )
        return model.source, request
    source, name, arguments = parse_reference(model)
    said = check_trust(TRUST, arguments.pop(TRUST, False))
    request = ModelRequest(
        name,
        arguments,
        weights,
        changes,
        trust_model_code=_join_trust(said, check_trust(TRUST, trust_model_code)),
        is_bare=not model.startswith(f"{source}:"),
    )
    return source, request


def _join_trust(said: Trust, given: Trust) -> Trust:
    """Return what is trusted by a reference, and by an argument beside it."""
    return replace(given, brought=said.brought or given.brought, file=given.file or said.file)


def restore_request(spec: ModelSpec, location: str) -> ModelRequest:
    """Return the request that loads a model as it was recorded, from where it is now."""
    contract = spec.input
    overrides = InputOptions(
        img_size=(contract.height, contract.width),
        preprocess=contract.scaling or "auto",
        channel_order=contract.channel_order,
        resize=contract.resize,
        interpolation=contract.interpolation,
        exif=contract.exif,
        decode=contract.decode,
        icc=contract.icc,
    )
    return replace(SOURCES[spec.source].restore(spec, location), overrides=overrides)


def _load(source: str, request: ModelRequest) -> Backbone:
    """Return a model from what is remembered of it, else from its source."""
    load = _loader(source, request)
    key = request_key(source, request)
    recalled = recall(key, load)
    if recalled is not None:
        return recalled
    backbone = load()
    loaded_key = request_key(source, request)  # `key` is None if it was downloaded just now.
    # A file may have been replaced during loading; registered classes depend on the program.
    is_same = loaded_key is not None and key in (None, loaded_key)
    if is_same and not backbone.runs_own_code:
        remember(loaded_key, backbone)
        # As heads, indexes and stores will ask for it.
        restored = restore_request(backbone.spec, backbone.spec.location)
        remember(request_key(backbone.spec.source, restored), backbone)
    return backbone


def _loader(source: str, request: ModelRequest) -> Callable[[], Backbone]:
    """Return a function that loads a model, checks its input, and completes its description."""

    def load() -> Backbone:
        backbone = SOURCES[source].load(request)
        _check_input(source, request.overrides, backbone.spec.input)
        backbone.spec = with_input(backbone.spec, decode_margin=DECODE_MARGIN)
        package = SOURCES.package_of(source)
        if package is not None:
            backbone.spec = replace(backbone.spec, package=package)
        return backbone

    return load


def _check_input(source: str, overrides: InputOptions, contract: InputSpec) -> None:
    """Refuse a model whose pixels would not be prepared as asked for.

    Raises:
        ModelError: If its source ignored a part of the request; says which.
    """
    wanted = overrides.apply(contract)
    differences = identity_differences(wanted.to_dict(), contract.to_dict())
    if differences:
        asked = ", ".join(f"{name} {expected}" for name, expected, _ in differences)
        received = ", ".join(f"{name} {actual}" for name, _, actual in differences)
        package = SOURCES.package_of(source)
        remedy = "" if package is None else f", or update the package {package!r}"
        raise ModelError(
            f"The model source {source!r} does not prepare images as it was asked to: {asked}. "
            f"Received: {received}. Leave out that option{remedy}."
        )
