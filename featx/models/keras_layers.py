"""Finding the layers of Keras models: watch each call while the model is traced once.

One mechanism serves functional, sequential and nested models alike, and sees what
`layer.output` does not: the second call of a shared layer, each output of a layer with
several, and layers inside nested models (whose `.output` belongs to another graph).
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from featx.engines.door import find_door, measure_scaling
from featx.engines.tensorflow import import_tensorflow
from featx.engines.tensorflow_graph import CompiledLayers, compile_function
from featx.engines.traced_layers import TracedLayers
from featx.errors import ModelError
from featx.input_spec import InputSpec
from featx.models.backbone import Layer
from featx.models.graph_layers import operation_of
from featx.models.inner_scaling import (
    InnerScaling,
    continues_scaling,
    recognize_scaling,
)
from featx.models.input_contract import InputShape
from featx.models.keras_calls import Call, KerasDoor, describe_door, find_trained
from featx.models.keras_part import KerasInput, take_part
from featx.models.keras_reasons import keras_reason
from featx.models.keras_recording import LastCallSeen, Trace, by_suffix, name_calls, record_calls
from featx.models.keras_settings import build_apart
from featx.models.lineage import Lineage, receptive_field
from featx.models.trained_pixels import TrainedPixels

_INPUT = -1
"""The model's input, where the number of a call is expected."""


class _DoorIsShorter(Exception):
    """A layer at the end of the door computes with something that is not traced without it."""


class KerasLayers:
    """The layers of a Keras model of one image input.

    Args:
        model: A built model.
        contract: The input size to trace at.
        shape: What its input says; channels last when None.
        input_dtype: The type of its input; that of its symbolic input when None.
        layer_class: The base class of its layers; Keras 3's own when None.
        feed: Makes of images what it is called with; the images themselves when None.

    Attributes:
        layers: Every layer, in the order of computation.
        inner_scaling: What the model does with pixels first, or which it was trained on; None
            where neither is known.

    Raises:
        ModelError: If the model cannot run on images of that size.
    """

    def __init__(
        self,
        model: Any,
        contract: InputSpec,
        shape: InputShape | None = None,
        *,
        input_dtype: str | None = None,
        layer_class: Any = None,
        feed: Callable[[Any], Any] | None = None,
    ) -> None:
        tensorflow = import_tensorflow()
        import keras

        self._model = model
        self._contract = contract
        self._shape = shape or InputShape(None, None, contract.channels, channels_first=False)
        self._dtype = input_dtype or model.inputs[0].dtype
        takes = inspect.signature(model.call).parameters.values()
        is_told = any(each.name == "training" or each.kind == each.VAR_KEYWORD for each in takes)
        self._mode = {"training": False} if is_told else {}
        self._feed = feed
        self._layer_class = layer_class or keras.layers.Layer
        self._positions: dict[str, tuple[int, str]] = {}
        self._tensors: dict[str, Any] = {}
        layers: list[Layer] = []
        found: list[tuple[KerasDoor, TrainedPixels | None]] = []

        def trace(images: Any) -> None:
            run = self._run(images)
            for layer, number, suffix in self._describe(images, run):
                layers.append(layer)
                self._positions[layer.name] = (number, suffix)
                tensor = images if number == _INPUT else run.calls[number].outputs[suffix]
                self._tensors[layer.name] = tensor
            door = describe_door(find_door(images), run.calls)
            with tensorflow.init_scope():  # The values of weights, not symbols for them.
                found.append((door, None if door.names else find_trained(run.calls, door)))

        self._traced = self._trace(trace)
        self.layers = tuple(layers)
        door, trained = found[0]
        self.inner_scaling = self._measure(door) if door.names else trained

    def compile(self, names: Sequence[str]) -> TracedLayers:
        """Return the graph from scaled images to the named layers, with nothing beyond them."""
        tensors = {name: self._tensors[name] for name in names}
        return TracedLayers(self._traced, tensors, lambda: self._trace_again(tuple(names)))

    def _trace_again(self, names: tuple[str, ...]) -> CompiledLayers:
        """Build a graph that ends with the last layer that is needed, and compile it."""
        positions = [self._positions[name] for name in names]
        last = max(number for number, _ in positions)

        def trace(images: Any) -> list[Any]:
            tensorflow = import_tensorflow()
            calls = self._run(images, last).calls
            return [
                tensorflow.identity(images if number == _INPUT else calls[number].outputs[suffix])
                for number, suffix in positions
            ]

        return build_apart(lambda: compile_function(self._trace(trace), names))

    def take_part(self, name: str) -> Any:
        """Return a copy of the model that ends with a layer; see `keras_part.take_part`.

        Raises:
            ModelError: If it is a model of Keras 2, or Keras cannot take it apart.
        """
        import keras

        if self._layer_class is not keras.layers.Layer:
            raise ModelError("The network is one of Keras 2, whose layers Keras 3 does not take.")
        if self._feed is not None:
            raise ModelError("The network takes other inputs beside the pictures.")
        shape = self._shape
        takes = KerasInput(tuple(shape.batch(self._contract)), self._dtype, shape.has_channel_axis)
        return take_part(self._model, takes, name)

    def _trace(self, function: Callable[[Any], Any]) -> Any:
        tensorflow = import_tensorflow()
        height, width = self._contract.height, self._contract.width
        signature = tensorflow.TensorSpec(self._shape.batch(self._contract), tensorflow.float32)
        try:
            return tensorflow.function(function, autograph=False).get_concrete_function(signature)
        except (ValueError, TypeError) as error:
            raise ModelError(
                f"The model cannot be run on {height} x {width} images: {keras_reason(error)}"
            ) from error

    def _run(self, images: Any, last: int | None = None) -> Trace:
        """Call the model on a symbolic batch, up to call number `last` if one is given."""
        tensorflow = import_tensorflow()
        trace = Trace()
        if last == _INPUT:
            return trace
        typed = tensorflow.cast(images, self._dtype)
        if last is None:
            trace.lineage = Lineage([images, typed], channels_first=self._shape.channels_first)
        if not self._shape.has_channel_axis:
            typed = tensorflow.squeeze(typed, -1)
        with contextlib.suppress(LastCallSeen), record_calls(trace, last, self._layer_class):
            given = typed if self._feed is None else self._feed(typed)
            trace.results = self._model(given, **self._mode)
        return trace

    def _measure(self, door: KerasDoor) -> InnerScaling | None:
        """Find out what the model's door does with pixels, in a graph that ends behind it."""

        def trace(images: Any) -> Any:
            self._run(images, door.end)
            tensors = find_door(images).tensors
            if len(tensors) < door.length:
                raise _DoorIsShorter
            return import_tensorflow().identity(tensors[door.length - 1])

        try:
            function = self._trace(trace)
        except _DoorIsShorter:
            return None
        found = measure_scaling(
            lambda images: np.asarray(function(import_tensorflow().constant(images))),
            (self._contract.height, self._contract.width, self._contract.channels),
            channels_first=self._shape.channels_first,
        )
        if found is None:
            return None
        inner = recognize_scaling(door.names, *found)
        # Whoever adds a Rescaling feeds pixels as they are, unless the numbers say otherwise.
        is_raw = door.rescales and inner.scaling is None and not continues_scaling(*found)
        return replace(inner, scaling="raw", likely="raw") if is_raw else inner

    def _describe(self, images: Any, trace: Trace) -> Iterator[tuple[Layer, int, str]]:
        """Yield each layer with the call and the suffix that lead to its tensor."""
        calls, lineage = trace.calls, trace.lineage
        assert lineage is not None
        indices = {each.name: index for index, each in enumerate(self._model.layers)}
        for each in self._model.layers:
            if type(each).__name__ == "InputLayer":
                call = Call(each.name, each, {})
                yield _make_layer(each.name, call, indices[each.name], images, lineage), _INPUT, ""
        # Of a nested model and its last layer, which return the same tensor, the model.
        last = {id(t): n for n, call in enumerate(calls) for t in call.outputs.values()}
        results = set(map(id, by_suffix(trace.results).values()))
        for name, number in name_calls(calls):
            call = calls[number]
            for suffix, tensor in call.outputs.items():
                if _is_feature(tensor, images):
                    index = indices.get(call.path)
                    layer = _make_layer(name + suffix, call, index, tensor, lineage)
                    is_result = id(tensor) in results and last[id(tensor)] == number
                    yield replace(layer, is_result=is_result), number, suffix


def _make_layer(name: str, call: Call, index: int | None, tensor: Any, lineage: Lineage) -> Layer:
    """Describe one result of a layer."""
    origin = lineage.of(tensor)
    shape = tuple(tensor.shape[1:])
    turned = origin.channels_first and len(shape) == 3
    return Layer(
        name,
        "layer",
        call.type,
        index,
        (shape[1], shape[2], shape[0]) if turned else shape,
        channels_first=turned,
        receptive_field=receptive_field(origin) if len(shape) == 3 else None,
        step=origin.field.step[0] if len(shape) == 3 and origin.field is not None else None,
        parameters=lineage.parameters(origin),
        own_parameters=sum(math.prod(weight.shape) for weight in call.layer.weights),
        trainable=bool(call.layer.trainable) if call.layer.weights else None,
        dtype=tensor.dtype.name,
        operation=operation_of(tensor),
    )


def _is_feature(tensor: Any, images: Any) -> bool:
    """Whether a layer's output is a float tensor with a batch axis, in the traced graph."""
    if not import_tensorflow().is_tensor(tensor) or tensor.graph is not images.graph:
        return False  # A tensor of another graph, such as a loop's body, cannot be returned.
    if tensor.shape.rank and tensor.shape[0] is not None:
        return False  # A table of the model's own, such as position embeddings.
    return bool(
        tensor.dtype.is_floating and tensor.shape.rank is not None and tensor.shape.rank > 1
    )
