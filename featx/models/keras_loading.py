"""Loading Keras files: by Keras 3 or tf_keras, without running code that is not trusted."""

from __future__ import annotations

import hashlib
import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.engines.tensorflow import import_tensorflow
from featx.errors import ModelError
from featx.files import hash_file
from featx.host import printing_to_stderr, quiet_loggers
from featx.models.keras_code import runs_own_code
from featx.models.keras_contents import refuse_data_elsewhere
from featx.models.keras_format import KerasFile, named_by_form, read_keras_file
from featx.models.keras_identity import identify_model
from featx.models.keras_inputs import ImageInput, find_input, find_part, offer_parts
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
from featx.scratch import scratch_folder
from featx.trust import Trust

_MISSING = re.compile(r"(?:Could not locate|Unknown) (?:class|function|layer|object):? '?([\w>]+)")
"""How Keras 2 and 3 name a class or function that they do not have."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network as Keras loaded it, or as the calling program has it.

    Attributes:
        input: What of it takes one image.
        layer_class: The base class of its layers; None for Keras 3's own.
        weights_sha256: Of architecture and weights; where it runs code, of the file and of that.
        runs_own_code: Whether it needs code that is not in the file, or that was trusted.
        file_sha256: Of the file, by which earlier versions identified it; None for other models.
        computed_sha256: Of architecture, weights and code, as of models in memory; None where that
            is not known.
    """

    input: ImageInput
    layer_class: Any
    weights_sha256: str
    runs_own_code: bool
    file_sha256: str | None = None
    computed_sha256: str | None = None


def take_model(model: Any, arguments: Mapping[str, Any], name: str) -> LoadedModel:
    """Describe a model that is in memory, or a network within it.

    Args:
        model: The model.
        arguments: See `load_keras_file`.
        name: What it is called.

    Raises:
        ModelError: If it was never built, or is not one image in.
        UnknownName: If it has no such part.
    """
    if not getattr(model, "built", True):
        raise ModelError(
            f"The model {name!r} was not built yet: it has no weights and no input shape. Begin it "
            "with keras.Input(...), or call it on an image."
        )
    if "part" in arguments:
        model = find_part(model, str(arguments["part"]), name)
    config = model.get_build_config() if hasattr(model, "get_build_config") else None
    if len(getattr(model, "inputs", None) or ()) > 1 and not arguments:
        raise ModelError(offer_parts(name, model))
    found = find_input(model, config, name, arguments)
    is_keras_3 = any(each.__module__.split(".")[0] == "keras" for each in type(model).__mro__)
    layer_class = None if is_keras_3 else importlib.import_module("tf_keras").layers.Layer
    own_code = runs_own_code(model)
    return LoadedModel(found, layer_class, identify_model(model), own_code)


def load_keras_file(
    path: Path, arguments: Mapping[str, Any], *, trust_model_code: Trust
) -> LoadedModel:
    """Load a file, or a network within the one that it holds.

    Args:
        path: The file.
        arguments: What was said after its name: ``part``, a layer that is a network itself;
            ``input``, and constants for other inputs.
        trust_model_code: Whether its code may run, and what else is taken for its own.

    Raises:
        ModelError: If it cannot be loaded, would run code that is not trusted, or is not one image
            in.
        UnknownName: If it has no such part.
    """
    import_tensorflow()
    file = read_keras_file(path)
    objects = dict(trust_model_code.custom_objects)
    code = find_code(file.config)
    code = {what: named for what, named in code.items() if named is None or named[1] not in objects}
    if not trust_model_code:
        if file.is_legacy:
            code |= dict.fromkeys(find_unlisted(file.config))
        refuse_code(path, code)
    refuse_data_elsewhere(path)
    code_file = None if trust_model_code.file is None else Path(trust_model_code.file)
    trusts = bool(trust_model_code)
    with (
        run_code_file(code_file) as own,
        imported_code(path, code, own) as classes,
        own_seeds(),  # One thread at a time, also for the filters of warnings.
        printing_to_stderr(),
        quiet_loggers("tensorflow", "absl"),
    ):
        try:
            model, layer_class = _load(file, {**own, **classes, **objects}, trusts)
        except ModelError as error:
            missing = find_unregistered(file.config) or _MISSING.findall(_all_reasons(error))
            if not missing or trust_model_code.file is not None:
                raise
            code_file = path.with_suffix(".py")
            if not trust_model_code or not code_file.is_file():
                raise ModelError(describe_missing(path, missing)) from error
            with run_code_file(code_file) as more:
                model, layer_class = _load(
                    file, {**more, **classes, **objects}, bool(trust_model_code)
                )
    is_part = "part" in arguments
    if is_part:
        model = find_part(model, str(arguments["part"]), path.name)
    built = None if is_part else file.config.get("build_config")
    found = find_input(model, built, path.name, arguments)
    file_sha256 = _hash(path, code_file)
    own_code = trusts or uses_registered(file.config)
    computed = None if is_part else identify_model(model)
    return LoadedModel(
        found,
        layer_class,
        file_sha256 if own_code or computed is None else computed,
        runs_own_code=own_code or bool(objects),
        file_sha256=file_sha256,
        computed_sha256=computed,
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
        with scratch_folder() as folder:
            try:
                copy, is_changed = write_renamed(file, folder)
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


def _hash(path: Path, code_file: Path | None) -> str:
    """Return the SHA-256 of a file, or of that and the code that it needs."""
    if code_file is None:
        return hash_file(path)
    hashes = [hash_file(part) for part in (path, code_file)]
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()
