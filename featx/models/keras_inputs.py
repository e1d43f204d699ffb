"""The inputs of Keras models: which takes images, and what a model of several makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from featx.errors import ModelError, UnknownName, join_names
from featx.models.free_inputs import (
    ChosenInputs,
    FreeInput,
    choose_inputs,
    describe_constants,
    feed,
)

Feed = Callable[[Any], Any]
"""Makes of a batch of images what a model is called with."""


@dataclass(frozen=True, slots=True)
class ImageInput:
    """A network of one image.

    Attributes:
        model: The network; of one of several inputs, the part that depends on it.
        shape: Of the input that takes images, batch axis first.
        dtype: The type of that, such as ``float32``.
        feed: What the network is called with; the images themselves when None.
        notes: What a person should know of the other inputs.
    """

    model: Any
    shape: tuple[int | None, ...]
    dtype: str
    feed: Feed | None = None
    notes: tuple[str, ...] = ()


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


def find_input(model: Any, built: Any, name: str, arguments: Mapping[str, Any]) -> ImageInput:
    """Return what of a network takes one image.

    Args:
        model: The network.
        built: The shapes that one without symbolic inputs was built for, if they are known.
        name: What the file or the model is called.
        arguments: What was said after its name: ``input``, and constants for other inputs.

    Raises:
        ModelError: If it has none, because it was never built, or several.
        InvalidValue: If a constant does not suit its input.
        UnknownName: If it has no such input.
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
        _refuse_names(name, ["input"], arguments)
        return ImageInput(model, (None, *shape[1:]), "float32")
    if len(inputs) == 1:
        _refuse_names(name, [inputs[0].name], arguments)
        return ImageInput(model, tuple(inputs[0].shape), _dtype_of(inputs[0]))
    given = {key: value for key, value in arguments.items() if key not in ("input", "part")}
    encoders = _find_encoders(model)
    if encoders and not given and "input" not in arguments:
        raise ModelError(_offer_encoders(name, model, encoders))
    chosen = arguments.get("input")
    free = [FreeInput(each.name, tuple(each.shape), _dtype_of(each)) for each in inputs]
    choice = choose_inputs(name, free, None if chosen is None else str(chosen), given)
    if choice.left_out:
        model = _cut(model, choice, name)
    return _feed_constants(model, choice, given)


def _feed_constants(model: Any, choice: ChosenInputs, given: Mapping[str, Any]) -> ImageInput:
    """Describe a network whose inputs but one have constants."""
    images = next(each for each in model.inputs if each.name == choice.images)
    names = [each.name for each in model.inputs]
    shapes = {each.name: tuple(each.shape) for each in model.inputs}

    def make_inputs(batch: Any) -> Any:
        tensors = {choice.images: batch} | feed(choice.constants, shapes, batch)
        return [tensors[name] for name in names]

    return ImageInput(
        model,
        tuple(images.shape),
        _dtype_of(images),
        make_inputs if choice.constants else None,
        tuple(describe_constants(choice, given)),
    )


def _cut(model: Any, choice: ChosenInputs, name: str) -> Any:
    """Return the part of a network that depends on no input which is left out.

    Its layers are the network's own.

    Raises:
        ModelError: If nothing is computed from the images alone.
    """
    out = {each.name for each in choice.left_out}
    kept = [each for each in model.inputs if each.name not in out]
    known = {id(each) for each in kept}
    ends: dict[int, Any] = {}
    for depth in sorted(getattr(model, "_nodes_by_depth", {}), reverse=True):
        for node in model._nodes_by_depth[depth]:
            sources = _flat(node.input_tensors)
            if not sources or not all(id(each) in known for each in sources):
                continue
            for each in sources:
                ends.pop(id(each), None)
            for each in _flat(node.outputs):
                if id(each) not in known:
                    known.add(id(each))
                    ends[id(each)] = each
    if not ends:
        raise ModelError(
            f"Nothing in {name!r} is computed from its input {choice.images!r} alone. Give the "
            "others a value: "
            + "".join(f",{each.name}=NUMBER" for each in choice.left_out)
            + f" after {name!r}."
        )
    kind = next(each for each in type(model).__mro__ if each.__name__ == "Model")
    return kind(kept[0] if len(kept) == 1 else kept, list(ends.values()), name=model.name)


def _flat(tensors: Any) -> list[Any]:
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _dtype_of(tensor: Any) -> str:
    return str(getattr(tensor.dtype, "name", tensor.dtype))


def _refuse_names(name: str, inputs: list[str], arguments: Mapping[str, Any]) -> None:
    """Refuse what was said of other inputs of a network that has only one."""
    for key, value in arguments.items():
        if key == "input" and value not in inputs:
            raise UnknownName(f"input of {name}", str(value), inputs)
        if key not in ("input", "part"):
            raise UnknownName(
                f"argument of {name}",
                key,
                ("input", "part"),
                remedy=f"It takes images only, as {inputs[0]!r}.",
            )


def _find_encoders(model: Any) -> list[str]:
    """Return the names of networks of one image within a network."""
    return [
        layer.name
        for layer in model.layers
        if getattr(layer, "layers", None)
        and len(getattr(layer, "inputs", None) or ()) == 1
        and len(layer.inputs[0].shape) in (3, 4)
    ]


def _offer_encoders(name: str, model: Any, encoders: list[str]) -> str:
    """Say that a file of several inputs holds a network of one image."""
    more = f" (or {join_names(encoders[1:])})" if encoders[1:] else ""
    return (
        f"{_describe_inputs(name, model)} Name the part of it that takes one: "
        f"{name},part={encoders[0]}{more}."
    )


def offer_parts(name: str, model: Any) -> str:
    """Say what to pass instead of a model in memory with several inputs."""
    encoders = _find_encoders(model)
    part = (
        f"model.get_layer({encoders[0]!r})"
        if encoders
        else "keras.Model(model.inputs[0], model.get_layer('NAME').output)"
    )
    return f"{_describe_inputs(name, model)} Pass the part of it that takes one: {part}."


def _describe_inputs(name: str, model: Any) -> str:
    inputs = ", ".join(f"{each.name!r} {tuple(each.shape)}" for each in model.inputs)
    return (
        f"featx feeds models one image. Received: {name!r} with {len(model.inputs)} inputs "
        f"({inputs})."
    )
