"""A part of a Keras model as a model of its own: from scaled images to one layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featx.errors import ModelError, first_line
from featx.models.keras_recording import Trace, is_open, name_calls, record_calls

if TYPE_CHECKING:
    from featx.models.backbone import Backbone
    from featx.models.keras_layers import KerasLayers


EXPORTED, NETWORK = "featx_head", "network"
"""Names of a head that is exported with its network, and of the network in it, a model itself."""


@dataclass(frozen=True, slots=True)
class KerasInput:
    """What a Keras model takes.

    Attributes:
        shape: Of a batch, in its own layout, batch axis first.
        dtype: The type of its numbers.
        has_channel_axis: Whether it takes the axis of channels, too.
    """

    shape: tuple[int | None, ...]
    dtype: str
    has_channel_axis: bool


def keras_layers_of(backbone: Backbone) -> KerasLayers | None:
    """Return the layers of Keras that a backbone consists of; None for any other model."""
    find = getattr(backbone, "keras_layers", None)
    return None if find is None else find()


def exported_size(model: Any) -> tuple[int, int] | None:
    """Return height and width of the network in an exported head; None for any other model.

    The whole takes any size, and resizes to this one: pictures that have it are not resized twice.
    """
    if model.name != EXPORTED:
        return None
    found = [layer for layer in model.layers if layer.name == NETWORK]
    shape = tuple(found[0].inputs[0].shape) if found and hasattr(found[0], "inputs") else ()
    return (shape[1], shape[2]) if len(shape) == 4 and shape[1] and shape[2] else None


def take_part(model: Any, takes: KerasInput, name: str) -> Any:
    """Return a copy of a model that ends with one of its layers.

    Models inside it are replaced by their layers, which keep their names where these are single.

    Args:
        model: A functional or sequential model of Keras 3. Neither it nor its weights are changed.
        takes: What it takes.
        name: The layer, as `featx.models.backbone.Layer` names it.

    Returns:
        A functional model from images, as `takes` says, to the layer.

    Raises:
        ModelError: If the model is not made of layers that Keras can take apart, or the layer is
            inside one that is not.
    """
    import keras

    if not is_open(model):
        raise ModelError(
            f"The network {model.name!r} is of the class {type(model).__name__}, whose layers "
            "Keras cannot take apart."
        )
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    images = keras.Input(batch_shape=takes.shape, dtype=takes.dtype, name="scaled_images")
    found = _find_outputs(copy, images, takes)
    if name not in found:
        raise ModelError(f"The layer {name!r} is inside a layer that Keras cannot take apart.")
    result = found[name]
    make_names_single(result)
    try:
        return keras.Model(images, result, name=model.name)
    except ValueError as error:
        raise ModelError(f"{name!r} cannot be the end of a model: {first_line(error)}") from error


def _find_outputs(model: Any, images: Any, takes: KerasInput) -> dict[str, Any]:
    """Return the symbol of each layer that a model computes, by its name."""
    import keras

    trace = Trace(opens=True)
    given = images if takes.has_channel_axis else keras.ops.squeeze(images, -1)
    try:
        with record_calls(trace, None, keras.layers.Layer):
            model(given)
    except (ValueError, TypeError) as error:
        raise ModelError(f"Keras cannot take the network apart: {first_line(error)}") from error
    inputs = [each.name for each in model.layers if type(each).__name__ == "InputLayer"]
    found: dict[str, Any] = dict.fromkeys(inputs, given)
    for name, number in name_calls(trace.calls):
        for suffix, tensor in trace.calls[number].outputs.items():
            if keras.backend.is_keras_tensor(tensor):
                found[name + suffix] = tensor
    return found


def make_names_single(result: Any) -> None:
    """Rename layers and operations of which two have one name, as of two models inside one."""
    taken: set[str] = set()
    for operation in _operations_before(result):
        name, number = operation.name, 1
        while operation.name in taken:
            number += 1
            operation.name = f"{name}_{number}"
        taken.add(operation.name)


def _operations_before(result: Any) -> Iterator[Any]:
    """Yield each layer and operation that a symbol of Keras comes from, once."""
    seen: set[int] = set()
    nodes: set[int] = set()
    waiting = [result]
    while waiting:
        history = waiting.pop()._keras_history  # Keras has no public way back.
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) in nodes:
            continue
        nodes.add(id(node))
        if id(history.operation) not in seen:
            seen.add(id(history.operation))
            yield history.operation
        waiting.extend(node.input_tensors)
