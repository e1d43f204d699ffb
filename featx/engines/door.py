"""The door of a TensorFlow graph: what it does with pixels before its first layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Affine = tuple[np.ndarray, np.ndarray]
"""Factor and offset of each channel: ``factor * pixel + offset``."""

ARITHMETIC = frozenset(
    "Mul Sub Add AddV2 BiasAdd RealDiv Div Neg FusedBatchNorm FusedBatchNormV2 "
    "FusedBatchNormV3".split()
)
_PASSED_ON = frozenset(
    "Cast Identity IdentityN StopGradient PreventGradient Snapshot CheckNumerics EnsureShape "
    "PlaceholderWithDefault Reshape Squeeze ExpandDims Transpose StridedSlice ReverseV2 Pad PadV2 "
    "MirrorPad ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea "
    "ScaleAndTranslate".split()
)
"""Operations that leave a picture of one colour as it is, but for its borders."""

_TAKE_APART = frozenset("Split SplitV Unpack".split())
_JOIN = frozenset("Pack ConcatV2 Concat".split())

_ASK_SIZE = frozenset("Shape ShapeN Size Rank".split())

_FEW = 4
_WHITE = 255.0
_GREY = 100.0


@dataclass(frozen=True, slots=True)
class Door:
    """The way of the pixels to the first operation that is more than a scaling of each of them.

    Attributes:
        tensors: What they are on the way, the input first.
        operations: The operations among these that compute: a scaling, a normalisation.
    """

    tensors: tuple[Any, ...]
    operations: tuple[Any, ...]


def find_door(images: Any) -> Door:
    """Follow the input of a graph for as long as there is one way to go."""
    tensors, operations = [images], []
    while True:
        users = _users(tensors[-1])
        if len(users) == 1 and _is_scaling(users[0], tensors[-1], images.op):
            step = users
        else:
            step = _follow_channels(users, tensors[-1], images.op)
            if not step:
                break
        operations += [user for user in step if user.type in ARITHMETIC]
        tensors.append(step[-1].outputs[0])
    return Door(tuple(tensors), tuple(operations))


def _users(tensor: Any) -> list[Any]:
    return [user for user in tensor.consumers() if user.type not in _ASK_SIZE]


def _follow_channels(users: list[Any], tensor: Any, source: Any) -> list[Any]:
    """Return the operations by which channels are taken apart and put together again, if so.

    This is how the order of channels is changed.
    """
    if len(users) == 1 and users[0].type in _TAKE_APART:
        channels, step = users[0].outputs, users
    elif len(users) > 1 and all(_is_scaling(user, tensor, source) for user in users):
        channels, step = [user.outputs[0] for user in users], users
    else:
        return []
    joins = []
    for channel in channels:
        next_users = _users(channel)
        while len(next_users) == 1 and _is_scaling(next_users[0], channel, source):
            step = [*step, next_users[0]]
            channel = next_users[0].outputs[0]
            next_users = _users(channel)
        joins += next_users
    is_joined = {operation.name for operation in joins} == {joins[0].name} if joins else False
    return [*step, joins[0]] if is_joined and joins[0].type in _JOIN else []


def measure_scaling(
    run: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int, int], *, channels_first: bool
) -> Affine | None:
    """Find out how a door scales the channels of pictures, by pictures of one colour.

    Args:
        run: Computes its last tensor for images, (B, H, W, C) or, channels first, (B, C, H, W).
        shape: Height, width and channels of the images.
        channels_first: Whether it takes these first.

    Returns:
        Factors and offsets of the input's channels, float64 (C,); None if it does not scale each
        channel by itself, or leaves all as they are.

    Example:
        >>> measure_scaling(lambda images: images / 2 - 1, (8, 8, 1), channels_first=False)
        (array([0.5]), array([-1.]))
    """
    colours = _make_colours(shape[2])
    images = np.broadcast_to(colours[:, None, None, :], (len(colours), *shape))
    if channels_first:
        images = images.transpose(0, 3, 1, 2)
    rows = _read_centres(run(np.ascontiguousarray(images)), colours.shape)
    if rows is None or not np.isfinite(rows).all():
        return None
    tolerance = 1e-4 * np.abs(rows).max()
    effects = rows[2:] - rows[0]  # Of each channel by itself, on every channel of the result.
    targets = np.abs(effects).argmax(axis=1) if len(effects) else np.arange(shape[2])
    factor, offset = (rows[1] - rows[0])[targets] / _WHITE, rows[0][targets]
    alone = np.zeros_like(effects)
    alone[np.arange(len(effects)), targets[: len(effects)]] = _GREY * factor[: len(effects)]
    if len(set(targets)) < shape[2] or np.abs(effects - alone).max(initial=0) > tolerance:
        return None
    is_identity = np.allclose(factor, 1, atol=1e-6) and np.allclose(offset, 0, atol=1e-6)
    return None if is_identity or not factor.all() else (factor, offset)


def _make_colours(channels: int) -> np.ndarray:
    """Return black, white, and, of few channels, one of grey in each by itself: (B, C)."""
    grey = _GREY * np.eye(channels) if channels <= _FEW else np.zeros((0, channels))
    colours = [np.zeros((1, channels)), np.full((1, channels), _WHITE), grey]
    return np.concatenate(colours).astype(np.float32)


def _is_scaling(operation: Any, tensor: Any, source: Any) -> bool:
    """Whether an operation scales or passes on a tensor, with no help of the images."""
    if operation.type not in ARITHMETIC | _PASSED_ON or not operation.outputs:
        return False
    others = [each for each in operation.inputs if each is not tensor]
    if len(others) != len(operation.inputs) - 1:  # A square, for example.
        return False
    is_divisor = operation.type in ("RealDiv", "Div") and operation.inputs[0] is not tensor
    return not is_divisor and not any(_depends_on(other, source) for other in others)


def _depends_on(tensor: Any, source: Any) -> bool:
    """Whether a tensor is computed from the pixels that an operation gives, not only their size."""
    seen, waiting = set(), [tensor.op]
    while waiting:
        operation = waiting.pop()
        if operation is source:
            return True
        if operation.name not in seen and operation.type not in _ASK_SIZE:
            seen.add(operation.name)
            waiting.extend(each.op for each in operation.inputs)
    return False


def _read_centres(results: np.ndarray, expected: tuple[int, ...]) -> np.ndarray | None:
    """Return the value of each picture in its middle, float64 (B, C); None for other shapes."""
    count, channels = expected
    if results.ndim == 4 and len(results) == count:
        height, width = results.shape[1:3]
        if results.shape[3] == channels:
            return results[:, height // 2, width // 2].astype(np.float64)
        if results.shape[1] == channels:
            return results[:, :, width // 2, results.shape[3] // 2].astype(np.float64)
    return None
