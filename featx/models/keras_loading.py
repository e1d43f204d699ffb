"""Loading Keras files: by Keras 3 or tf_keras, without running code that is not trusted."""

from __future__ import annotations

import hashlib
import importlib
import re
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError, UnknownName, join_names
from featx.files import hash_file
from featx.host import printing_to_stderr, quiet_loggers
from featx.models.keras_code import runs_own_code
from featx.models.keras_contents import refuse_data_elsewhere
from featx.models.keras_format import KerasFile, named_by_form, read_keras_file
from featx.models.keras_identity import identify_model
from featx.models.keras_reasons import keras_reason
from featx.models.keras_seeds import own_seeds
from featx.models.keras_weights import write_renamed
from featx.models.legacy_keras import find_unlisted, is_computed_otherwise, load_legacy
from featx.models.model_code import (
    describe_missing,
    find_code,
    find_unregistered,
    imported_code,
    refuse_code,
    run_code_file,
    uses_registered,
)

_MISSING = re.compile(r"(?:Could not locate|Unknown) (?:class|function|layer|object):? '?([\w>]+)")
"""How Keras 2 and 3 name a class or function that they do not have."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network as Keras loaded it, or as the calling program has it.

    Attributes:
        model: The network.
        input_shape: Of its one input, batch axis first.
        input_dtype: The type of that, such as ``float32``.
        layer_class: The base class of its layers; None for Keras 3's own.
        weights_sha256: Of architecture and weights; where it runs code, of the file and of that.
        runs_own_code: Whether it needs code that is not in the file, or that was trusted.
        file_sha256: Of the file, by which earlier versions identified it; None for other models.
    """

    model: Any
    input_shape: tuple[int | None, ...]
    input_dtype: str
    layer_class: Any
    weights_sha256: str
    runs_own_code: bool
    file_sha256: str | None = None


def take_model(model: Any, part: str | None, name: str) -> LoadedModel:
    """Describe a model that is in memory, or a network within it.

    Raises:
        ModelError: If it was never built, or is not one image in.
        UnknownName: If it has no such part.
    """
    if not getattr(model, "built", True):
        raise ModelError(
            f"The model {name!r} was not built yet: it has no weights and no input shape. Begin it "
            "with keras.Input(...), or call it on an image."
        )
    if part is not None:
        model = find_part(model, part, name)
    config = model.get_build_config() if hasattr(model, "get_build_config") else None
    shape, dtype = find_input(model, config, name)
    is_keras_3 = any(each.__module__.split(".")[0] == "keras" for each in type(model).__mro__)
    layer_class = None if is_keras_3 else importlib.import_module("tf_keras").layers.Layer
    own_code = runs_own_code(model)
    return LoadedModel(model, shape, dtype, layer_class, identify_model(model), own_code)


def load_keras_file(path: Path, part: str | None, *, trust_model_code: bool) -> LoadedModel:
    """Load a file, or a network within the one that it holds.

    Args:
        path: The file.
        part: The name of a layer of it that is a network itself; the whole when None.
        trust_model_code: Whether its code may run.

    Raises:
        ModelError: If it cannot be loaded, would run code that is not trusted, or is not one image
            in.
        UnknownName: If it has no such part.
    """
    import_tensorflow()
    file = read_keras_file(path)
    code = find_code(file.config)
    if not trust_model_code:
        if file.is_legacy:
            code |= dict.fromkeys(find_unlisted(file.config))
        refuse_code(path, code)
    refuse_data_elsewhere(path)
    code_file: Path | None = None
    with (
        imported_code(path, code) as classes,
        own_seeds(),  # One thread at a time, also for the filters of warnings.
        printing_to_stderr(),
        quiet_loggers("tensorflow", "absl"),
    ):
        try:
            model, layer_class = _load(file, classes, trust_model_code)
        except ModelError as error:
            missing = find_unregistered(file.config) or _MISSING.findall(_all_reasons(error))
            if not missing:
                raise
            code_file = path.with_suffix(".py")
            if not trust_model_code or not code_file.is_file():
                raise ModelError(describe_missing(path, missing)) from error
            with run_code_file(code_file) as more:
                model, layer_class = _load(file, {**more, **classes}, trust_model_code)
    if part is not None:
        model = find_part(model, part, path.name)
    built = file.config.get("build_config") if part is None else None
    shape, dtype = find_input(model, built, path.name)
    file_sha256 = _hash(path, code_file)
    own_code = trust_model_code or uses_registered(file.config)
    return LoadedModel(
        model,
        shape,
        dtype,
        layer_class,
        file_sha256 if own_code or part is not None else identify_model(model),
        runs_own_code=own_code,
        file_sha256=file_sha256,
    )


def _load(file: KerasFile, classes: Mapping[str, Any], trust: bool) -> tuple[Any, Any]:
    """Return the model, and the base class of its layers where that is not Keras 3's."""
    if file.is_legacy and (file.form == "zip" or is_computed_otherwise(file.config)):
        return load_legacy(file, classes, safe_mode=not trust)
    try:
        return _load_with_keras_3(file, classes, trust), None
    except Exception as error:  # Keras raises many kinds for files that it cannot read.
        reason = keras_reason(error)
        if not file.is_legacy:
            raise ModelError(f"Keras cannot load {str(file.path)!r}: {reason}") from error
    try:
        return load_legacy(file, classes, safe_mode=not trust)
    except ModelError as error:
        if isinstance(error.__cause__, ImportError):
            raise
        raise ModelError(
            f"Neither Keras 3 nor tf_keras can load {str(file.path)!r}: {reason}; "
            f"{keras_reason(error.__cause__ or error)}"
        ) from error


def _load_with_keras_3(file: KerasFile, classes: Mapping[str, Any], trust: bool) -> Any:
    import keras

    def load(path: Path) -> Any:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model = keras.models.load_model(
                path, custom_objects=dict(classes), compile=False, safe_mode=not trust
            )
        for each in told:
            if not str(each.message).startswith("Do not pass an `input_shape`"):
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return model

    try:
        with named_by_form(file) as path:
            return load(path)
    except Exception as error:
        if file.form == "hdf5":
            raise
        with tempfile.TemporaryDirectory(prefix="featx-") as folder:
            try:
                copy, is_changed = write_renamed(file, Path(folder))
            except ModelError:  # What Keras said is nearer to the cause.
                is_changed = False
            if not is_changed:
                raise error
            return load(copy)


def _all_reasons(error: BaseException | None) -> str:
    """Return the messages of an error and of what led to it."""
    reasons: list[str] = []
    while error is not None:
        reasons.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(reasons)


def find_part(model: Any, part: str, name: str) -> Any:
    """Return a network within another, by its name, with `/` before one that is deeper."""
    for step in part.split("/"):
        layers = {layer.name: layer for layer in getattr(model, "layers", ())}
        networks = [key for key, layer in layers.items() if getattr(layer, "layers", None)]
        if step not in networks:
            has = f"It has {join_names(networks, conjunction='and')}." if networks else ""
            raise UnknownName(f"network within {name}", step, networks, remedy=has)
        model = layers[step]
    return model


def find_input(model: Any, built: Any, name: str) -> tuple[tuple[int | None, ...], str]:
    """Return shape and type of the one input of a network.

    Args:
        model: The network.
        built: The shapes that one without symbolic inputs was built for, if they are known.
        name: What the file or the model is called.

    Raises:
        ModelError: If it has none, because it was never built, or several.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        shape = built.get("input_shape") if isinstance(built, dict) else None
        if not isinstance(shape, (list, tuple)) or not all(
            size is None or isinstance(size, int) for size in shape
        ):
            raise ModelError(
                f"{name!r} was saved before it was built, so that it holds no weights "
                "and no input shape. Begin the network with keras.Input(...), or call it on an "
                "image, train it, and save it again."
            )
        return (None, *shape[1:]), "float32"
    if len(inputs) != 1:
        raise ModelError(_describe_inputs(name, model))
    return tuple(inputs[0].shape), str(getattr(inputs[0].dtype, "name", inputs[0].dtype))


def _describe_inputs(name: str, model: Any) -> str:
    """Say what to do with a network of several inputs."""
    inputs = ", ".join(f"{each.name!r} {tuple(each.shape)}" for each in model.inputs)
    encoders = [
        layer.name
        for layer in model.layers
        if getattr(layer, "layers", None)
        and len(getattr(layer, "inputs", None) or ()) == 1
        and len(layer.inputs[0].shape) in (3, 4)
    ]
    remedy = (
        f"Name the part of it that takes one: {name},part={encoders[0]}"
        + (f" (or {join_names(encoders[1:])})" if encoders[1:] else "")
        if encoders
        else "Save the part that takes images as a network of its own, in Python: "
        "keras.Model(model.inputs[0], model.get_layer('NAME').output).save('part.keras')"
    )
    return (
        f"featx feeds models one image. Received: {name!r} with {len(model.inputs)} inputs "
        f"({inputs}). {remedy}."
    )


def _hash(path: Path, code_file: Path | None) -> str:
    """Return the SHA-256 of a file, or of that and the code that it needs."""
    if code_file is None:
        return hash_file(path)
    hashes = [hash_file(part) for part in (path, code_file)]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()
