"""Tapping Keras models: watch each layer's calls while the model is traced once.

One mechanism serves functional, sequential and nested models alike, and sees what
`layer.output` does not: the second call of a shared layer, each output of a layer with
several, and layers inside nested models (whose `.output` belongs to another graph).
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from featx.engines.tensorflow import CompiledTaps, FrozenGraph, import_tensorflow
from featx.errors import ModelError
from featx.models.backbone import Tap, first_line
from featx.specs import InputSpec

_recording = threading.Lock()


def describe_taps(model: Any, contract: InputSpec) -> list[Tap]:
    """Trace `model` at the contract's size and describe every layer output in it."""
    tensorflow = import_tensorflow()
    taps: list[Tap] = []

    def trace(images: Any) -> None:
        taps.extend(tap for tap, _ in _run_and_record(model, images))

    _trace(tensorflow, trace, contract)
    return taps


def compile_taps(model: Any, contract: InputSpec, names: Sequence[str]) -> CompiledTaps:
    """Build a graph from scaled images to the named taps, with nothing beyond them."""
    tensorflow = import_tensorflow()

    def trace(images: Any) -> list[Any]:
        tensors = {tap.name: tensor for tap, tensor in _run_and_record(model, images)}
        return [tensorflow.identity(tensors[name]) for name in names]

    graph = FrozenGraph(_trace(tensorflow, trace, contract))
    return graph.prune(dict(zip(names, graph.outputs, strict=True)))


def _trace(tensorflow: Any, function: Any, contract: InputSpec) -> Any:
    shape = [None, contract.height, contract.width, contract.channels]
    try:
        return tensorflow.function(function, autograph=False).get_concrete_function(
            tensorflow.TensorSpec(shape, tensorflow.float32)
        )
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"The model cannot be run on {contract.height} x {contract.width} images: "
            f"{first_line(error)}"
        ) from error


def _run_and_record(model: Any, images: Any) -> list[tuple[Tap, Any]]:
    """Call `model` on a symbolic batch; return each tap with its tensor, in call order."""
    tensorflow = import_tensorflow()
    calls: list[tuple[str, Any, Any]] = []
    placeholder = model.inputs[0]
    with _record_calls(calls):
        model(tensorflow.cast(images, placeholder.dtype), training=False)

    indices = {layer.name: index for index, layer in enumerate(model.layers)}
    results: list[tuple[Tap, Any]] = []

    def add(name: str, path: str, layer_type: str, tensor: Any) -> None:
        # A tensor of another graph (the body of a loop) cannot be an output of this one.
        if not tensorflow.is_tensor(tensor) or tensor.graph is not images.graph:
            return
        if tensor.shape.rank is None or tensor.shape.rank < 2 or not tensor.dtype.is_floating:
            return
        shape = tuple(tensor.shape[1:])
        results.append((Tap(name, "layer", layer_type, indices.get(path), shape), tensor))

    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            add(layer.name, layer.name, "InputLayer", images)
    times = Counter(path for path, _, _ in calls)
    seen: Counter[str] = Counter()
    for path, layer, outputs in calls:
        seen[path] += 1
        name = f"{path}#{seen[path]}" if times[path] > 1 else path
        for suffix, tensor in _flatten(outputs):
            add(name + suffix, path, type(layer).__name__, tensor)
    return results


@contextlib.contextmanager
def _record_calls(calls: list[tuple[str, Any, Any]]) -> Iterator[None]:
    """Append ``(path, layer, outputs)`` for each layer call below the outermost model.

    Every layer call passes through `keras.layers.Layer.__call__`, also those that the
    functional graph makes; it is wrapped for the time of one trace.
    """
    import keras

    original = keras.layers.Layer.__call__
    owner = threading.get_ident()
    stack: list[str] = []

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != owner:
            return original(self, *args, **kwargs)
        stack.append(self.name)
        path = "/".join(stack[1:])
        try:
            outputs = original(self, *args, **kwargs)
        finally:
            stack.pop()
        if path:
            calls.append((path, self, outputs))
        return outputs

    with _recording:
        keras.layers.Layer.__call__ = recorded
        try:
            yield
        finally:
            keras.layers.Layer.__call__ = original


def _flatten(outputs: Any) -> list[tuple[str, Any]]:
    """Return each tensor with the suffix that names it: none for a single output."""
    if isinstance(outputs, dict):
        return [(f":{key}", tensor) for key, tensor in outputs.items()]
    if isinstance(outputs, (list, tuple)):
        if len(outputs) == 1:
            return [("", outputs[0])]
        return [(f":{position}", tensor) for position, tensor in enumerate(outputs)]
    return [("", outputs)]
