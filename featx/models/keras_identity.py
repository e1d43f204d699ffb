"""The identity of a Keras model: its architecture and weights, in memory as in a file.

Names of layers, how they are connected, what they compute, and the values of their weights are
part of it. What only training uses is not, nor what says the default: so a later Keras, with
further settings, finds the same identity.
"""

from __future__ import annotations

import functools
import inspect
import json
import types
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import numpy as np

from featx.models.content_hash import hash_arrays

_FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")
_NOT_COMPUTED = {
    "trainable", "build_config", "compile_config", "registered_name", "module", "seed", "ragged",
    "sparse", "batch_size", "batch_input_shape", "batch_shape", "autocast", "training", "mask",
}  # fmt: skip
_KERAS = ("keras", "tf_keras", "keras_hub", "keras_cv", "builtins")


def identify_model(model: Any) -> str:
    """Return the SHA-256 of a model's architecture and weights, in hexadecimal."""
    layers = list(getattr(model, "layers", ()))
    own = [each for each in _classes(model) if each.__module__.split(".")[0] not in _KERAS]
    described = {
        "architecture": _plain(_config_of(model)),
        "code": [_describe_code(each) for each in own],
        "weights": hash_arrays(_weights([*layers, model] if own else layers or [model])),
    }
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), default=repr)
    return sha256(text.encode()).hexdigest()


def runs_own_code(model: Any) -> bool:
    """Whether a model computes with classes or functions that are not Keras's own."""
    is_own = any(each.__module__.split(".")[0] not in _KERAS for each in _classes(model))
    return is_own or any(type(layer).__name__ == "Lambda" for layer in _all_layers(model))


def _config_of(model: Any) -> Any:
    try:
        return [type(model).__name__, model.get_config()]
    except NotImplementedError:  # Of classes that cannot be saved; their layers still can.
        return [type(model).__name__, [_config_of(layer) for layer in model.layers]]


def _weights(layers: Iterable[Any]) -> Iterator[np.ndarray]:
    for layer in layers:
        for weight in layer.weights:
            yield np.asarray(weight.numpy() if hasattr(weight, "numpy") else weight)


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _all_layers(layer)


def _classes(model: Any) -> list[type]:
    return list(dict.fromkeys(type(each) for each in [model, *_all_layers(model)]))


def _describe_code(kind: type) -> list[Any]:
    """Return the name of a class, and what its methods compute."""
    functions = [
        each.fget if isinstance(each, property) else getattr(each, "__func__", each)
        for each in vars(kind).values()
    ]
    codes = [each.__code__ for each in functions if isinstance(each, types.FunctionType)]
    return [kind.__name__, [_code_text(code) for code in codes]]


def _code_text(code: types.CodeType) -> list[Any]:
    return [code.co_code.hex(), [_constant_text(c) for c in code.co_consts], list(code.co_names)]


def _constant_text(constant: Any) -> Any:
    if isinstance(constant, types.CodeType):
        return _code_text(constant)
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)


def _plain(value: Any) -> Any:
    """Return a configuration without what does not decide results."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return value["config"]["keras_history"]
        if value.get("class_name") in ("DTypePolicy", "Policy"):
            return value["config"]["name"]
        defaults = _defaults(str(value.get("class_name")))
        return {
            key: _plain(_without(each, defaults) if key == "config" else each)
            for key, each in value.items()
            if _decides(key, each)
        }
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _decides(key: str, value: Any) -> bool:
    is_policy = key == "dtype" and _plain(value) == "float32"
    return not (
        value is None or is_policy or key in _NOT_COMPUTED or str(key).endswith(_FOR_TRAINING)
    )


def _without(config: Any, defaults: dict[str, Any]) -> Any:
    if not isinstance(config, dict):
        return config
    return {
        key: value
        for key, value in config.items()
        if key not in defaults or _as_lists(defaults[key]) != _as_lists(value)
    }


def _as_lists(value: Any) -> Any:
    """Return a setting as it is written in a file, in which windows have two numbers."""
    if isinstance(value, (list, tuple)):
        items = [_as_lists(each) for each in value]
        return items[0] if items and all(each == items[0] for each in items) else items
    return value


@functools.cache
def _defaults(class_name: str) -> dict[str, Any]:
    """Return the defaults of a layer's settings."""
    import keras

    kind = getattr(keras.layers, class_name.split(">")[-1], None)
    if kind is None:
        return {}
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
