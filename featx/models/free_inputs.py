"""Inputs of a model besides the image: constants for them, ``,min_size=40`` after its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.checks.messages import describe_value
from featx.engines.tensorflow import import_tensorflow
from featx.errors import InvalidValue, ModelError, UnknownName, join_names

Constants = tuple[tuple[str, Any], ...]
"""Names of inputs and what each is given, as after the name of a model; sorted by name."""


@dataclass(frozen=True, slots=True)
class FreeInput:
    """An input of a model.

    Attributes:
        name: Its name.
        shape: Its shape; None where a length varies, and for all of it where that is not known.
        dtype: The type of its values, as NumPy calls it.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str

    @property
    def may_be_images(self) -> bool:
        """Whether it takes (B, H, W, C) or (B, H, W), as far as is known."""
        is_number = self.dtype not in ("bool", "str", "string", "object")
        return is_number and (self.shape is None or len(self.shape) in (3, 4))

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name!r} {self.dtype}"
        return f"{self.name!r} {self.dtype} {self.shape}"


@dataclass(frozen=True, slots=True)
class ChosenInputs:
    """Which input takes images, what the others are given, and which are left out.

    Attributes:
        images: The name of the input that takes images.
        constants: Values by the names of inputs; see `feed`.
        left_out: Inputs that get nothing: what depends on them cannot be computed.
    """

    images: str
    constants: Mapping[str, np.ndarray]
    left_out: tuple[FreeInput, ...] = ()


def choose_inputs(
    model: str, inputs: Sequence[FreeInput], chosen: str | None, given: Mapping[str, Any]
) -> ChosenInputs:
    """Decide what each of several inputs of a model gets.

    Args:
        model: The model, for messages.
        inputs: All inputs.
        chosen: The name of the one that takes images, if it was said; the others that are not
            given are then left out.
        given: Constants for others by their names.

    Raises:
        InvalidValue: If a constant does not suit its input.
        ModelError: If it is not clear which input takes images, or others need a constant.
        UnknownName: If there is no such input.
    """
    names = [each.name for each in inputs]
    if chosen is not None and chosen not in names:
        raise UnknownName(f"input of {model}", chosen, names, remedy=f"It has {_list(inputs)}.")
    if chosen in given:
        raise InvalidValue(f"{chosen!r} of {model!r} cannot be images and a constant. Name one.")
    constants = make_constants(model, inputs, given)
    others = [each for each in inputs if each.name not in constants and each.name != chosen]
    if chosen is None:
        pictures = [each for each in others if each.may_be_images]
        others = [each for each in others if each is not pictures[0]] if pictures else others
        if len(pictures) != 1 or others:
            raise ModelError(_describe_choice(model, inputs, constants))
        chosen = pictures[0].name
    return ChosenInputs(chosen, constants, tuple(others))


def make_constants(
    model: str, inputs: Sequence[FreeInput], given: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return values for inputs: whole, or a row where the first axis of an input is the batch.

    Raises:
        InvalidValue: If one does not suit its input.
        UnknownName: If there is no such input.
    """
    named = {each.name: each for each in inputs}
    for name in given:
        if name not in named:
            raise UnknownName(f"input of {model}", name, named, remedy=f"It has {_list(inputs)}.")
    return {name: _make_constant(model, named[name], given[name]) for name in sorted(given)}


def feed(constants: Mapping[str, np.ndarray], shapes: Mapping[str, Any], images: Any) -> Any:
    """Return tensors for constants: of an input with a batch axis, a row for each image.

    Args:
        constants: Values by name; those of one axis less than their input are rows.
        shapes: The shapes of these inputs, each a sequence, or None where it is not known.
        images: The batch.
    """
    tensorflow = import_tensorflow()
    count = tensorflow.shape(images)[:1]
    tensors = {}
    for name, value in constants.items():
        tensor = tensorflow.constant(value)
        if shapes[name] is not None and len(shapes[name]) == value.ndim + 1:
            tensor = tensorflow.broadcast_to(tensor, tensorflow.concat([count, value.shape], 0))
        tensors[name] = tensor
    return tensors


def bind_inputs(
    function: Any, specs: Mapping[str, Any], choice: ChosenInputs, call: Callable[[Any], Any]
) -> Any:
    """Return a concrete function of images first, and of the inputs that are left out.

    Args:
        function: What is called, kept alive by the result.
        specs: The specification of each input, as of TensorFlow.
        choice: What each gets.
        call: Calls the function with tensors by name.
    """
    tensorflow = import_tensorflow()
    shapes = {name: _shape_of(specs[name]) for name in choice.constants}
    free = [each.name for each in choice.left_out]

    def bound(images: Any, *others: Any) -> Any:
        tensors = {choice.images: images, **dict(zip(free, others, strict=True))}
        return call(tensors | feed(choice.constants, shapes, images))

    signature = [
        tensorflow.TensorSpec(specs[name].shape, specs[name].dtype)
        for name in (choice.images, *free)
    ]
    concrete = tensorflow.function(bound, autograph=False).get_concrete_function(*signature)
    concrete.featx_bound = function  # A loaded function lets go of its variables otherwise.
    return concrete


def free_input(name: str, spec: Any) -> FreeInput:
    """Describe an input by TensorFlow's specification of it."""
    shape = _shape_of(spec)
    return FreeInput(name, None if shape is None else tuple(shape), spec.dtype.name)


def describe_constants(choice: ChosenInputs, given: Mapping[str, Any]) -> list[str]:
    """Say what other inputs get, a line for each kind; nothing where there are none."""
    lines = []
    if given:
        pairs = ", ".join(f"{name} = {value}" for name, value in sorted(given.items()))
        lines.append(f"other inputs have constants: {pairs}")
    if choice.left_out:
        names = join_names([repr(each.name) for each in choice.left_out], conjunction="and")
        lines.append(f"layers that need {names} are left out: only {choice.images!r} is fed")
    return lines


def _shape_of(spec: Any) -> list[int | None] | None:
    return None if spec.shape.rank is None else spec.shape.as_list()


def _make_constant(model: str, free: FreeInput, value: Any) -> np.ndarray:
    """Return what an input gets: a whole value, or a row where its first axis is the batch.

    Raises:
        InvalidValue: If the value does not suit the input.
    """
    shape = free.shape
    numbers = _read_numbers(value)
    array = None if numbers is None else _convert(numbers, free.dtype)
    if array is not None and shape is not None:
        lengths = shape[1:] if shape and shape[0] is None and len(shape) != array.ndim else shape
        wanted = tuple(1 if length is None else length for length in lengths)
        if len(shape) == array.ndim == 1 and shape[0] is None:
            wanted = array.shape
        try:
            array = np.broadcast_to(array, wanted).copy()
        except ValueError:
            array = None
    if array is None:
        what = "True or False" if free.dtype == "bool" else "a number"
        raise InvalidValue(
            f"The input {free} of {model!r} takes {what}, or several with spaces between them. "
            f"Received: {describe_value(value)}."
        )
    return array


def _read_numbers(value: Any) -> np.ndarray | None:
    """Return what was written after the name of a model as an array without or with one axis."""
    try:
        if isinstance(value, str):
            return np.array([float(word) for word in value.split()] or None, float)
        return None if value is None else np.array(value, bool if value in (True, False) else None)
    except ValueError:
        return None


def _convert(numbers: np.ndarray, dtype: str) -> np.ndarray | None:
    """Return numbers in a type that holds them; None if it does not."""
    try:
        wanted = np.dtype(import_tensorflow().dtypes.as_dtype(dtype).as_numpy_dtype)
    except TypeError:
        return None
    if wanted.kind not in "biuf":
        return None
    with np.errstate(all="ignore"):
        array = numbers.astype(wanted)
    is_same = wanted.kind == "f" or np.array_equal(array.astype(float), numbers.astype(float))
    return array if is_same and np.isfinite(array.astype(float)).all() else None


def _list(inputs: Sequence[FreeInput]) -> str:
    return join_names([str(each) for each in inputs], conjunction="and")


def _describe_choice(
    model: str, inputs: Sequence[FreeInput], constants: Mapping[str, np.ndarray]
) -> str:
    """Say what to do with a model of several inputs."""
    pictures = [each for each in inputs if each.may_be_images and each.name not in constants]
    others = [each for each in inputs if each not in pictures]
    kept = "".join(f",{each.name}={_example(each)}" for each in others)
    received = f"Received: {model!r} with {len(inputs)} inputs ({_list(inputs)})."
    begin = f"featx feeds models one image. {received}"
    if len(pictures) == 1:
        return f"{begin} Give the others a value: {model}{kept}."
    if not pictures:
        return f"{begin} None of them takes images."
    return (
        f"{begin} Say which takes images, {model},input={pictures[0].name}{kept}: what depends on "
        "others that have no value is left out."
    )


def _example(free: FreeInput) -> str:
    return "False" if free.dtype == "bool" else "NUMBER"
