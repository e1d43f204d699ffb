"""Models of `keras.applications`, with ImageNet weights, a weights file, or seeded random ones."""

from __future__ import annotations

import contextlib
import inspect
import os
import warnings
from pathlib import Path
from typing import Any

import h5py

from featx.engines.tensorflow import import_tensorflow
from featx.engines.tensorflow_thread import run_in_new_thread
from featx.errors import (
    DownloadNotAllowed,
    InvalidValue,
    ModelError,
    UnknownName,
    first_line,
)
from featx.host import is_own_process, printing_to_stderr, quiet_loggers
from featx.models.backbone import ModelRequest
from featx.models.content_hash import hash_arrays
from featx.models.contracts import APPLICATIONS
from featx.models.description import ModelDescription
from featx.models.graph_backbone import GraphBackbone
from featx.models.keras_contents import refuse_data_elsewhere
from featx.models.keras_downloads import without_downloads
from featx.models.keras_layers import KerasLayers
from featx.models.keras_seeds import own_seeds, without_drawing
from featx.specs import ModelSpec
from featx.wording import option

RANDOM_SEED = 0
"""Seed of ``--weights random``: every run has the same network, and features can be reused."""

_OWN_OPTIONS = {
    "weights": "weights",
    "input_shape": "img_size",
    "input_tensor": "img_size",
    "pooling": "pool",
}
"""Constructor arguments that featx sets itself → the option to use instead."""


def load(request: ModelRequest) -> GraphBackbone:
    """Build a Keras application and load its weights; see `featx.models.load_model`."""
    weights = request.weights or "imagenet"
    if weights not in ("imagenet", "random") and not Path(weights).is_file():
        raise ModelError(
            f"{option('weights')} takes imagenet, random, or the path of a weights file. "
            f"Received: {weights!r}, which is not a file."
        )
    import_tensorflow()
    import keras

    application = APPLICATIONS[request.name]
    constructor = getattr(keras.applications, request.name)
    _check_arguments(constructor, request)
    arguments = _without_defaults(constructor, request.arguments)
    contract = request.overrides.apply(
        application.contract(
            include_preprocessing=bool(arguments.get("include_preprocessing", True))
        )
    )
    is_resized = (contract.height, contract.width) != (application.size, application.size)
    attempts = _choose_tops(request, arguments, weights, is_resized=is_resized)
    shape = (contract.height, contract.width, contract.channels)
    with printing_to_stderr():
        if weights in ("imagenet", "random"):
            used, location = attempts[0], weights
            model = _build(constructor, used, shape, weights, fetches=request.allow_download)
        else:
            try:
                model, used = _load_from_file(constructor, attempts, shape, weights)
            except ModelError:
                if request.arguments.get("include_top") is True:
                    _refuse_file_without_top(constructor, attempts[0], shape, weights)
                raise
            location = os.path.abspath(weights)
    spec = ModelSpec(
        source="keras",
        name=request.name,
        arguments=tuple(sorted(used.items())),
        location=location,
        weights_sha256=hash_arrays(value.numpy() for value in model.weights),
        input=contract,
    )
    layers = KerasLayers(model, contract)
    description = ModelDescription(
        spec, layers.layers, len(model.layers), inner_scaling=layers.inner_scaling
    )
    return GraphBackbone(description, layers.compile, find_layers=lambda: layers)


def _choose_tops(
    request: ModelRequest, arguments: dict[str, Any], weights: str, *, is_resized: bool
) -> list[dict[str, Any]]:
    """Return the arguments to build with, in the order to try: with the classifier, or without.

    If the user does not say, the classifier is kept where it can be: not at another input size,
    and a weights file may come without it.
    """
    if request.arguments.get("include_top") is True:
        # Recorded only where it is not the default.
        return [arguments | ({"include_top": True} if is_resized else {})]
    if "include_top" in arguments:
        return [arguments]
    if is_resized:
        return [arguments | {"include_top": False}]
    if weights in ("imagenet", "random"):
        return [arguments]
    return [arguments, arguments | {"include_top": False}]


def _check_arguments(constructor: Any, request: ModelRequest) -> None:
    """Refuse arguments that do not exist or that an option of featx sets."""
    known = inspect.signature(constructor).parameters
    for argument in request.arguments:
        if argument in _OWN_OPTIONS:
            raise InvalidValue(
                f"{argument!r} is not given with the model's name. "
                f"Use {option(_OWN_OPTIONS[argument])} instead."
            )
        if argument not in known:
            raise UnknownName(
                f"argument of {request.name}",
                argument,
                known,
                remedy=f"It takes {', '.join(name for name in known if name not in _OWN_OPTIONS)}.",
            )


def _without_defaults(constructor: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Leave out arguments that are defaults, so that a network has one name."""
    kept = {}
    for name, value in arguments.items():
        default = inspect.signature(constructor).parameters[name].default
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if value != default or type(value) is not type(default):
            kept[name] = value
    return kept


def _build(
    constructor: Any,
    arguments: dict[str, Any],
    shape: tuple[int, ...],
    weights: str,
    *,
    fetches: bool = True,
) -> Any:
    """Construct the network, with ImageNet weights or seeded random ones, or for those of a file.

    Args:
        constructor: The application.
        arguments: Its arguments.
        shape: Of the input.
        weights: ``imagenet`` or ``random``; else zeros, that are to be read from a file.
        fetches: Whether Keras may download weights that it does not have.
    """

    def construct() -> Any:
        import keras

        if not is_own_process():  # Progress of downloads goes to absl's log, for this thread.
            keras.config.disable_interactive_logging()
        named = "imagenet" if weights == "imagenet" else None
        what = f"The ImageNet weights of {constructor.__name__}"
        with (
            own_seeds(RANDOM_SEED),
            contextlib.nullcontext() if weights == "random" else without_drawing(),
            quiet_loggers("tensorflow", "absl"),
            contextlib.nullcontext() if fetches else without_downloads(what),
        ):
            return constructor(**arguments, input_shape=shape, weights=named)

    try:
        # Keras numbers unnamed layers (conv2d_7) by counters of the thread. In a new thread
        # they start over, so that a layer has one name whatever was built before.
        return run_in_new_thread(construct)
    except DownloadNotAllowed:
        raise
    except Exception as error:  # Keras raises a bare Exception when a download fails.
        text = first_line(error)
        if "URL fetch failure" in text:
            raise ModelError(
                f"The ImageNet weights of {constructor.__name__} could not be downloaded: {text}. "
                "Without a network, place the file in ~/.keras/models under its own name, or "
                f"give one with {option('weights', 'PATH')}."
            ) from error
        raise ModelError(f"{constructor.__name__} could not be built: {text}") from error


def _load_from_file(
    constructor: Any, attempts: list[dict[str, Any]], shape: tuple[int, ...], weights: str
) -> tuple[Any, dict[str, Any]]:
    """Load a weights file into the first attempted network that it fits."""
    path = Path(weights)
    refuse_data_elsewhere(path)
    reasons = []
    names, num_arrays = _describe_weights(path)
    lacks_classifier = names and not any(
        part in name for name in names for part in ("pred", "logits", "head", "dense")
    )
    if lacks_classifier and len(attempts) > 1:  # In their order, the first is built for nothing.
        attempts = [attempts[-1], *attempts]
    for number, arguments in enumerate(attempts):
        model = _build(constructor, arguments, shape, weights)
        if len(attempts) > 2 and number == 0 and num_arrays != len(model.weights):
            continue  # Keras would leave out what the network does not have.
        try:
            # One thread at a time: filters of warnings are those of all threads.
            with own_seeds(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.load_weights(path.absolute())
            return model, arguments
        except Exception as error:  # Keras and h5py raise many kinds for a file that does not fit.
            top = arguments.get("include_top", True)
            reasons.append(f"{'with' if top else 'without'} classifier: {first_line(error)}")
    told = "; ".join(dict.fromkeys(reasons))
    raise ModelError(
        f"The weights in {weights!r} do not fit {constructor.__name__} ({told}). "
        "Is it for another network, or for other constructor arguments (such as ',alpha=0.35')?"
    )


def _describe_weights(path: Path) -> tuple[list[str], int]:
    """Return the names of layers in a weights file, and how many arrays of weights it has."""
    arrays: list[str] = []

    def note(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset) and "seed_generator" not in name:
            arrays.append(name)

    try:
        with h5py.File(path) as file:
            group = file.get("model_weights", file)
            names = group.attrs["layer_names"] if "layer_names" in group.attrs else group["layers"]
            group.visititems(note)
            return [os.fsdecode(name) for name in names], len(arrays)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError):
        return [], 0  # Keras says what is wrong with it.


def _refuse_file_without_top(
    constructor: Any, arguments: dict[str, Any], shape: tuple[int, ...], weights: str
) -> None:
    """Say that the classifier is not in a weights file, if that is all that is wrong with it."""
    try:
        _load_from_file(constructor, [arguments | {"include_top": False}], shape, weights)
    except ModelError:
        return
    raise ModelError(
        f"The weights in {weights!r} are those of {constructor.__name__} without its classifier, "
        "which was asked for. Take the file without 'no_top' (or 'notop') in its name."
    )
