"""What every model looks like to the rest of featx: taps that describe, one call that computes."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from featx.errors import InvalidValue, ModelError
from featx.images.preprocess import scale_pixels
from featx.specs import InputOverrides, InputSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a user asked an adapter to load.

    Attributes:
        name: The part of the reference after the source: an application's name or a path.
        arguments: Constructor arguments.
        weights: ``imagenet``, ``random``, a path, or None for the adapter's default.
        overrides: Changes to the input contract.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    overrides: InputOverrides = field(default_factory=InputOverrides)


@dataclass(frozen=True, slots=True)
class Tap:
    """One place in a network whose activations can be taken.

    Attributes:
        name: What ``--layer`` takes: a layer's name, with ``/`` below a nested model,
            ``#2`` for the second call of a layer used twice, ``:1`` for a further output.
        kind: ``layer``, ``output`` (of a signature) or ``tensor`` (of a graph).
        type: The layer's class or the operation's type.
        index: Position in Keras's `model.layers` (what ``--layer -2`` counts), or None.
        shape: Shape of one row at the contract's input size; None where it varies.
    """

    name: str
    kind: str
    type: str
    index: int | None
    shape: tuple[int | None, ...]

    @property
    def num_bytes(self) -> int | None:
        """Bytes of one unpooled float32 row, or None where the shape varies."""
        sizes = [size for size in self.shape if size is not None]
        return 4 * math.prod(sizes) if len(sizes) == len(self.shape) else None

    def stride(self, input_height: int) -> int | None:
        """Input rows for each row of the map, or None for taps without space."""
        if len(self.shape) != 3 or not self.shape[0]:
            return None
        return round(input_height / self.shape[0])


class Backbone(Protocol):
    """A loaded model. Sources of models return one; tests bring their own.

    Attributes:
        spec: The resolved model.
        num_layers: Length of Keras's `model.layers`; None for models without numbered layers.
        default_layer: The tap that is taken when none is named; None for the last feature map.
    """

    spec: ModelSpec
    num_layers: int | None
    default_layer: str | None

    def features(self) -> Sequence[Tap]:
        """Describe every tap, in the order of computation."""
        ...

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute taps for images: [0, 255], uint8 or float32, (B, H, W, C), RGB.

        Returns:
            For each name a float32 array of shape (B, *tap shape).
        """
        ...


class GraphBackbone:
    """A backbone made of a description and a compiler; what all adapters return.

    Args:
        spec: The resolved model.
        taps: Every tap.
        compile_taps: Builds a callable from scaled images to named arrays, for given taps.
            Called once for each set of names, whatever the number of batches.
        num_layers: See `Backbone`.
        default_layer: See `Backbone`.
    """

    def __init__(
        self,
        spec: ModelSpec,
        taps: Sequence[Tap],
        compile_taps: Callable[[tuple[str, ...]], Callable[[np.ndarray], dict[str, np.ndarray]]],
        num_layers: int | None = None,
        default_layer: str | None = None,
    ) -> None:
        self.spec = spec
        self.num_layers = num_layers
        self.default_layer = default_layer
        self._taps = tuple(taps)
        self._compile_taps = compile_taps
        self._compiled: dict[tuple[str, ...], Callable[[np.ndarray], dict[str, np.ndarray]]] = {}

    def features(self) -> Sequence[Tap]:
        """Describe every tap, in the order of computation."""
        return self._taps

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute taps; see `Backbone`."""
        key = tuple(names)
        if key not in self._compiled:
            self._compiled[key] = self._compile_taps(key)
        return self._compiled[key](scale_pixels(images, self.spec.input))


def hash_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 of arrays in order: type, shape and little-endian bytes of each.

    Example:
        >>> hash_arrays([np.zeros(2)]) == hash_arrays([np.zeros((2, 1))])
        False
    """
    sha = hashlib.sha256()
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        sha.update(f"{little.dtype.name} {array.shape};".encode())
        sha.update(little.tobytes())
    return sha.hexdigest()


def hash_files(root: Path, files: Iterable[Path]) -> str:
    """Return the SHA-256 of files in order: path relative to `root`, length and content."""
    sha = hashlib.sha256()
    for path in files:
        sha.update(f"{path.relative_to(root).as_posix()} {os.path.getsize(path)};".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def first_line(error: BaseException) -> str:
    """Return the first line of a foreign error's message, for use inside one of ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def scale_for_dtype(contract: InputSpec, is_integer: bool, name: str) -> InputSpec:
    """Give a model of integer input its pixels as they are, and refuse any other scaling."""
    if not is_integer:
        return contract
    if contract.scaling not in (None, "raw"):
        raise InvalidValue(
            f"{name!r} takes whole numbers, so its pixels cannot be scaled to fractions. "
            f"Received: --preprocess {contract.scaling}. Use --preprocess raw."
        )
    return replace(contract, scaling="raw")


def image_contract(
    shape: Sequence[int | None], img_size: tuple[int, int] | None, name: str
) -> InputSpec:
    """Read the input contract off the shape of a model's input; the scaling is not known.

    Args:
        shape: The input's shape, batch axis first.
        img_size: The size that the user chose, ``(height, width)``, or None.
        name: The model, for the message.

    Raises:
        ModelError: If the model takes something else than one batch of channels-last images.
        InvalidValue: If it takes any size and none was chosen, or one and another was.
    """
    if len(shape) != 4 or shape[3] is None:
        raise ModelError(
            "featx feeds models batches of images, (batch, height, width, channels). "
            f"Received: {name!r} with an input of shape {tuple(shape)}."
        )
    if shape[3] not in (1, 3):
        order = " (channels first is not supported)" if shape[1] in (1, 3) else ""
        raise ModelError(
            "featx feeds models images of 1 or 3 channels, channels last. "
            f"Received: {name!r} with an input of shape {tuple(shape)}{order}."
        )
    height, width = shape[1:3]
    rows, columns = img_size or (height, width)
    if rows is None or columns is None:
        raise InvalidValue(
            f"{name!r} takes images of any size. Choose one with --img-size, for example 224."
        )
    if (height or rows, width or columns) != (rows, columns):
        raise InvalidValue(
            f"{name!r} was built for images of {height} x {width} pixels (height x width). "
            f"Received: --img-size {rows}x{columns}."
        )
    return InputSpec(rows, columns, channels=shape[3])
