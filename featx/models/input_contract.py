"""The input contract of models that do not state one: from shape and type of their input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from featx.errors import InvalidValue, ModelError
from featx.input_spec import MAX_CHANNELS, InputSpec
from featx.models.backbone import Backbone, ModelRequest
from featx.models.sources import SOURCES
from featx.wording import either, option

DEFAULT_SIZE = 224
"""Height and width, in pixels, for networks of any size: that at which most were trained."""


def require_scaling(backbone: Backbone) -> InputSpec:
    """Return a model's input contract; refuse a model that does not say how it wants its pixels.

    Raises:
        InvalidValue: If neither the model nor the user says it.
    """
    model = backbone.spec
    if model.input.scaling is None:
        found = f"It {backbone.beginning.text}. " if backbone.beginning.text else ""
        hint = SOURCES[model.source].scaling_hint if model.source in SOURCES else ""
        comparison = either(shell="--preprocess try", python="`featx.compare_scalings`")
        raise InvalidValue(
            f"featx cannot know how {model.reference!r} expects its pixels. Choose with "
            f"{option('preprocess')}: tf for [-1, 1], unit for [0, 1], raw for [0, 255], or caffe "
            f"or torch for ImageNet's mean and deviation; {comparison} shows what it makes of five "
            f"of the pictures under each. {found}{hint}".rstrip()
        )
    return model.input


def refuse_arguments(request: ModelRequest, kind: str, allowed: Sequence[str] = ()) -> None:
    """Refuse constructor arguments and weights for a file that brings both.

    Args:
        request: What was asked for.
        kind: What the file is called, for example ``"Keras file"``.
        allowed: Arguments that it takes all the same.

    Raises:
        InvalidValue: If the request has any.
    """
    if set(request.arguments).difference(allowed) or request.weights:
        article = "An" if kind[0] in "AEIO" else "A"
        raise InvalidValue(
            f"{article} {kind} brings its own architecture and weights. Received: "
            f"{request.name!r} with arguments or {option('weights')}. Leave them out."
        )


def refuse_weights(request: ModelRequest, kind: str) -> None:
    """Refuse weights for a file that brings them.

    Raises:
        InvalidValue: If the request has any.
    """
    if request.weights:
        refuse_arguments(replace(request, arguments={}), kind)


def scale_for_dtype(contract: InputSpec, is_integer: bool, name: str) -> InputSpec:
    """Give models of integer input their pixels unscaled; refuse any other scaling."""
    if not is_integer:
        return contract
    if contract.scaling not in (None, "raw"):
        raise InvalidValue(
            f"{name!r} takes whole numbers, so its pixels cannot be scaled to fractions. Received: "
            f"{option('preprocess', contract.scaling)}. Use {option('preprocess', 'raw')}."
        )
    return replace(contract, scaling="raw")


@dataclass(frozen=True, slots=True)
class InputShape:
    """What the shape of a model's input says: size (None where it varies), channels, layout.

    Images are given with an axis of channels also where the model has none, (B, H, W), which is
    then taken off at its door.
    """

    height: int | None
    width: int | None
    channels: int
    channels_first: bool
    has_channel_axis: bool = True

    def takes_any_size(self, img_size: tuple[int, int] | None) -> bool:
        """Whether the size is not said by the model, and not by what was chosen either."""
        return img_size is None and (self.height is None or self.width is None)

    def batch(self, contract: InputSpec) -> list[int | None]:
        """Return the shape of a batch at the contract's size, in the model's own layout."""
        size = [contract.height, contract.width]
        channels = [contract.channels]
        return [None, *channels, *size] if self.channels_first else [None, *size, *channels]


def read_input_shape(shape: Sequence[int | None] | None, name: str) -> InputShape:
    """Tell channels last, (batch, height, width, channels), from channels first.

    The channels are the axis of 1, 3 or 4; where both ends are (or neither), channels last. A
    model of (batch, height, width) takes grey images.

    Args:
        shape: The input's shape, batch axis first; None where not even its rank is known: the
            model then takes colour images of any size.
        name: The model, for the message.

    Raises:
        ModelError: If the model takes something else than one batch of images.

    Example:
        >>> read_input_shape((None, 3, 224, 224), "net").channels_first
        True
    """
    if shape is None:
        return InputShape(None, None, 3, False)
    if len(shape) == 3 and (shape[1] is None) == (shape[2] is None):  # A sequence has features.
        return InputShape(shape[1], shape[2], 1, channels_first=False, has_channel_axis=False)
    if len(shape) != 4:
        raise ModelError(
            "featx feeds models batches of images, (batch, height, width, channels). Received: "
            f"{name!r} with an input of shape {tuple(shape)}: it takes {_describe_rows(shape[1:])}."
        )
    usual = (1, 3, 4)
    is_map = all(size is None or size > max(usual) for size in shape[2:])
    channels_first = shape[1] in usual and is_map
    channels = shape[1] if channels_first else shape[3]
    if channels is None:
        if any(size is not None for size in shape[1:]):
            raise ModelError(
                "featx feeds models images of a known number of channels. "
                f"Received: {name!r} with an input of shape {tuple(shape)}."
            )
        channels = 3
    if channels > MAX_CHANNELS:
        raise ModelError(
            f"featx feeds models images of 1 (grey), 3 (colour) or 4 channels (with alpha), or of "
            f"up to {MAX_CHANNELS} pages. Received: {name!r} with an input of shape "
            f"{tuple(shape)}."
        )
    height, width = shape[2:] if channels_first else shape[1:3]
    return InputShape(height, width, channels, channels_first)


def _describe_rows(row: Sequence[int | None]) -> str:
    """Say what a model takes that is not made for images, from the shape of one."""
    if len(row) != 1:
        return {0: "single numbers", 2: "sequences"}.get(
            len(row), "sequences of images, or volumes"
        )
    size = row[0]
    for channels in (1, 3):
        side = math.isqrt((size or 0) // channels)
        if side > 3 and side * side * channels == size:
            return (
                f"rows of {size} numbers. If these are the pixels of {side} x {side} images, put "
                f"keras.Input(({side}, {side}, {channels})) and Flatten() before it, and save that"
            )
    return f"rows of {'any number of' if size is None else size} numbers, as of a table or a text"


def image_contract(
    shape: InputShape, img_size: tuple[int, int] | None, name: str, *, fixed: bool = True
) -> InputSpec:
    """Make an input contract from the shape of a model's input; its scaling is not known.

    A model of any size gets `DEFAULT_SIZE`, unless one was chosen.

    Args:
        shape: What the model takes, from `read_input_shape`.
        img_size: The size that the user chose, ``(height, width)``, or None.
        name: The model, for the message.
        fixed: Whether a size that the model states is the only one that it takes.

    Raises:
        InvalidValue: If it takes one size, and another was chosen.
    """
    rows, columns = img_size or (
        shape.height or shape.width or DEFAULT_SIZE,
        shape.width or shape.height or DEFAULT_SIZE,
    )
    if fixed and (shape.height or rows, shape.width or columns) != (rows, columns):
        raise InvalidValue(
            f"{name!r} was built for images of {shape.height} x {shape.width} pixels (height x "
            f"width). Received: {option('img_size', (rows, columns))}."
        )
    return InputSpec(rows, columns, channels=shape.channels)
