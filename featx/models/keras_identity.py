"""The identity of a Keras model: its architecture and weights, in memory as in a file.

Names of layers, how they are connected, what they compute, and the values of their weights are
part of it. What only training uses is not, nor what says the default: so a later Keras, with
further settings, finds the same identity.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import numpy as np

from featx.models.content_hash import hash_arrays
from featx.models.keras_code import describe_code, own_classes

_FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")
_NOT_COMPUTED = {
    "trainable", "build_config", "compile_config", "registered_name", "module", "seed", "ragged",
    "sparse", "batch_size", "batch_input_shape", "batch_shape", "autocast", "training", "mask",
}  # fmt: skip


def identify_model(model: Any) -> str:
    """Return the SHA-256 of a model's architecture and weights, in hexadecimal."""
    layers = list(getattr(model, "layers", ()))
    own = own_classes(model)
    described = {
        "architecture": _plain(_config_of(model)),
        "code": describe_code(model),
        "weights": hash_arrays(_weights([*layers, model] if own else layers or [model])),
    }
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), default=repr)
    return sha256(text.encode()).hexdigest()


def _config_of(model: Any) -> Any:
    try:
        return [type(model).__name__, model.get_config()]
    except NotImplementedError:  # Of classes that cannot be saved; their layers still can.
        layers = getattr(model, "layers", ())
        return [type(model).__name__, [_config_of(layer) for layer in layers]]


def _weights(layers: Iterable[Any]) -> Iterator[np.ndarray]:
    for layer in layers:
        for weight in layer.weights:
            yield np.asarray(weight.numpy() if hasattr(weight, "numpy") else weight)


def _plain(value: Any) -> Any:
    """Return a configuration without what does not decide results."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return value["config"]["keras_history"]
        if value.get("class_name") in ("DTypePolicy", "Policy"):
            return value["config"]["name"]
        if value.get("class_name") == "__lambda__":
            return "lambda"  # With the place of its source, which is another in each session.
        if value.get("function_type") == "lambda":  # The same of tf_keras.
            value = {**value, "function": None}
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
