"""What every model looks like to the rest of featx: taps that describe, one call that computes."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from featx.engines.frozen import FrozenNetwork
from featx.engines.tensorflow import CALLS_PER_GPU, CompiledTaps, list_gpus
from featx.errors import InvalidValue, ModelError
from featx.images.preprocess import scale_pixels
from featx.specs import DEFAULT_BATCH_SIZE, MAX_CHANNELS, InputOverrides, InputSpec, ModelSpec


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a user asked an adapter to load.

    Attributes:
        name: The part of the reference after the source: an application's name or a path.
        arguments: Constructor arguments.
        weights: ``imagenet``, ``random``, a path, or None for the adapter's default.
        overrides: Changes to the input contract.
        trust_model_code: Whether code that comes with the model may be run.
        is_bare: Whether the reference was a bare path, without a source before it.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    overrides: InputOverrides = field(default_factory=InputOverrides)
    trust_model_code: bool = False
    is_bare: bool = False


@dataclass(frozen=True, slots=True)
class Tap:
    """One place in a network whose activations can be taken.

    Attributes:
        name: What ``--layer`` takes: a layer's name, with ``/`` below a nested model,
            ``#2`` for the second call of a layer used twice, ``:1`` for a further output.
        kind: ``layer``, ``endpoint`` (of a Hub module), ``output`` (of a signature) or
            ``tensor`` (of a graph).
        type: The layer's class or the operation's type.
        index: Position in Keras's `model.layers` (what ``--layer -2`` counts), or None.
        shape: Shape of one row at the contract's input size; None where it varies.
        channels_first: Whether the network has it as (c, h, w); it is given, and its shape
            stated, as (h, w, c).
        receptive_field: Rows or columns of the input (the larger) that one place of the map
            depends on; None where it is the whole image, or not known.
        step: Input rows between neighbouring rows of the map, followed layer by layer; None where
            that is not known.
        parameters: Weights that are needed to compute it; None where they are not counted.
        is_detail: Whether it is a step between results that people use, listed only on demand.
        operation: TensorFlow's name for the operation that computes its values, behind copies
            and changes of shape, such as ``Sigmoid``; empty where it is not known.
    """

    name: str
    kind: str
    type: str
    index: int | None
    shape: tuple[int | None, ...]
    channels_first: bool = False
    receptive_field: int | None = None
    step: int | None = None
    parameters: int | None = None
    is_detail: bool = False
    operation: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Tap:
        """Rebuild a tap from `to_dict`."""
        return cls(**(dict(data) | {"shape": tuple(data["shape"])}))

    @property
    def num_bytes(self) -> int | None:
        """Bytes of one unpooled float32 row, or None where the shape varies."""
        sizes = [size for size in self.shape if size is not None]
        return 4 * math.prod(sizes) if len(sizes) == len(self.shape) else None

    def stride(self, input_height: int) -> int | None:
        """Input rows between rows of the map; None for taps without space, or where not known."""
        if len(self.shape) != 3 or not self.shape[0]:
            return None
        if self.step is not None:
            return self.step
        # Windows without padding lose rows at the edge: only a whole quotient says anything.
        return input_height // self.shape[0] if input_height % self.shape[0] == 0 else None


class Backbone(Protocol):
    """A loaded model. Sources of models return one; tests bring their own.

    Attributes:
        spec: The resolved model.
        num_layers: Length of Keras's `model.layers`; None for models without numbered layers.
        default_layer: The tap that is taken when none is named; None for the last feature map.
        notes: What else a person should know of it, one line each.
        packages: What loaded it besides TensorFlow and Keras, by the names under which pip knows
            them: the record of a run states their versions.
        runs_own_code: Whether code that came with it was trusted: that may change while its
            files do not, so that nothing made from it is kept.
    """

    spec: ModelSpec
    num_layers: int | None
    default_layer: str | None
    notes: Sequence[str]
    packages: Sequence[str]
    runs_own_code: bool

    @property
    def concurrency(self) -> int:
        """Batches that may be computed at the same time."""
        ...

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        ...

    @property
    def run_facts(self) -> Mapping[str, Any]:
        """The engine, the precision, and what else is recorded of a run."""
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory, ready to compute; False for one known from earlier."""
        ...

    def features(self) -> Sequence[Tap]:
        """Describe every tap, in the order of computation."""
        ...

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute taps for images: [0, 255], uint8 or float32, (B, H, W, C), RGB.

        Returns:
            For each name a float32 array of shape (B, *tap shape).
        """
        ...

    def freeze(self, names: Sequence[str]) -> FrozenNetwork | None:
        """Return the graph of some taps for another engine; None if there is not one for all."""
        ...


GPU_BATCH_SIZE = 64
"""Images that are given to a GPU at a time unless told otherwise: fewer do not fill a large one."""

_CHANNELS_FIRST_NOTE = (
    "channels first: pixels are given to it as (channels, height, width), and its maps are "
    "turned into (h, w, c)"
)


def require_scaling(model: ModelSpec) -> InputSpec:
    """Return a model's input contract; refuse to guess how it wants its pixels.

    Raises:
        InvalidValue: If neither the model nor the user says it.
    """
    if model.input.scaling is None:
        hint = " A module of TensorFlow Hub is named hub:DIR: these say it."
        raise InvalidValue(
            f"featx cannot know how {model.reference!r} expects its pixels. Choose with "
            "--preprocess: tf for [-1, 1], unit for [0, 1], raw for [0, 255], or caffe or torch "
            "for ImageNet's mean and deviation." + (hint if model.source == "savedmodel" else "")
        )
    return model.input


Compiled = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Computes taps of images that are scaled."""


class GraphBackbone:
    """A backbone made of a description and a compiler; what all adapters return.

    Args:
        spec: The resolved model.
        taps: Every tap.
        compile_taps: Builds a callable from scaled images to named arrays, for given taps.
            Called once for each set of names, whatever the number of batches.
        num_layers: See `Backbone`.
        default_layer: See `Backbone`.
        channels_first: Whether the network takes (B, C, H, W).
        notes: See `Backbone`.
        build_openvino: Makes the OpenVINO model of given taps without the model itself, which is
            then not in memory before it is compiled for TensorFlow.
        packages: See `Backbone`.
        runs_own_code: See `Backbone`.
    """

    def __init__(
        self,
        spec: ModelSpec,
        taps: Sequence[Tap],
        compile_taps: Callable[[tuple[str, ...]], Compiled],
        num_layers: int | None = None,
        default_layer: str | None = None,
        channels_first: bool = False,
        notes: Sequence[str] = (),
        build_openvino: Callable[[Sequence[str]], Any] | None = None,
        packages: Sequence[str] = (),
        runs_own_code: bool = False,
    ) -> None:
        self.spec = spec
        self.num_layers = num_layers
        self.default_layer = default_layer
        self.notes = (*([_CHANNELS_FIRST_NOTE] if channels_first else []), *notes)
        self.packages = tuple(packages)
        self.runs_own_code = runs_own_code
        self._taps = tuple(taps)
        self._channels_first = channels_first
        self._turned = {tap.name for tap in taps if tap.channels_first}
        self._compile_taps = compile_taps
        self._build_openvino = build_openvino
        self._compiled: dict[tuple[str, ...], Compiled] = {}
        self.run_facts: Mapping[str, Any] = {"engine": "tensorflow", "precision": "float32"}

    def features(self) -> Sequence[Tap]:
        """Describe every tap, in the order of computation."""
        return self._taps

    @property
    def concurrency(self) -> int:
        """Batches that may be computed at the same time: one on the CPU, two on each GPU."""
        return max(1, CALLS_PER_GPU * len(list_gpus()))

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        return GPU_BATCH_SIZE if list_gpus() else DEFAULT_BATCH_SIZE

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._build_openvino is None or bool(self._compiled)

    def freeze(self, names: Sequence[str]) -> FrozenNetwork | None:
        """Return the graph of some taps; see `Backbone`."""
        if self._build_openvino is not None:
            build = partial(self._build_openvino, names)
            return FrozenNetwork(b"", "images", {name: name for name in names}, build=build)
        compiled = self._compile(tuple(names))
        if not isinstance(compiled, CompiledTaps):
            return None
        return replace(
            compiled.freeze(),
            channels_first=self._channels_first,
            turned=frozenset(self._turned.intersection(names)),
        )

    def _compile(self, names: tuple[str, ...]) -> Compiled:
        if names not in self._compiled:
            self._compiled[names] = self._compile_taps(names)
        return self._compiled[names]

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute taps; see `Backbone`."""
        compiled = self._compile(tuple(names))
        scaled = scale_pixels(images, self.spec.input)
        if self._channels_first:
            scaled = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
        arrays = compiled(scaled)
        return {
            name: np.ascontiguousarray(values.transpose(0, 2, 3, 1))
            if name in self._turned
            else values
            for name, values in arrays.items()
        }


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


@dataclass(frozen=True, slots=True)
class InputShape:
    """What the shape of a model's input says: size where it is fixed, channels, layout."""

    height: int | None
    width: int | None
    channels: int
    channels_first: bool

    def batch(self, contract: InputSpec) -> list[int | None]:
        """Return the shape of a batch at the contract's size, in the model's own layout."""
        size = [contract.height, contract.width]
        channels = [contract.channels]
        return [None, *channels, *size] if self.channels_first else [None, *size, *channels]


def read_input_shape(shape: Sequence[int | None] | None, name: str) -> InputShape:
    """Tell channels last, (batch, height, width, channels), from channels first.

    The channels are the axis of 1, 3 or 4; where both ends are (or neither), channels last.

    Args:
        shape: The input's shape, batch axis first; None where not even its rank is known, which
            is taken for images of any size in colour.
        name: The model, for the message.

    Raises:
        ModelError: If the model takes something else than one batch of images.

    Example:
        >>> read_input_shape((None, 3, 224, 224), "net").channels_first
        True
    """
    if shape is None:
        return InputShape(None, None, 3, False)
    if len(shape) != 4:
        raise ModelError(
            "featx feeds models batches of images, (batch, height, width, channels). "
            f"Received: {name!r} with an input of shape {tuple(shape)}."
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


def image_contract(
    shape: InputShape, img_size: tuple[int, int] | None, name: str, *, fixed: bool = True
) -> InputSpec:
    """Make the input contract of the shape of a model's input; the scaling is not known.

    Args:
        shape: What the model takes, from `read_input_shape`.
        img_size: The size that the user chose, ``(height, width)``, or None.
        name: The model, for the message.
        fixed: Whether a size that the model states is the only one that it takes.

    Raises:
        InvalidValue: If it takes any size and none was chosen, or one and another was.
    """
    rows, columns = img_size or (shape.height, shape.width)
    if rows is None or columns is None:
        raise InvalidValue(
            f"{name!r} takes images of any size. Choose one with --img-size, for example 224."
        )
    if fixed and (shape.height or rows, shape.width or columns) != (rows, columns):
        raise InvalidValue(
            f"{name!r} was built for images of {shape.height} x {shape.width} pixels (height x "
            f"width). Received: --img-size {rows}x{columns}."
        )
    return InputSpec(rows, columns, channels=shape.channels)
