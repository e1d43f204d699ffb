"""`Backbone`, what the rest of featx sees of a model: layers, and one call that computes them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from featx.engines.graph import Layout, NetworkGraph
from featx.options import InputOptions
from featx.shown import Shown
from featx.specs import DEFAULT_BATCH_SIZE, ModelSpec
from featx.trust import Trust

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a model source is asked to load.

    A source obeys all of it, or refuses it with an error that says what it does not take.

    Attributes:
        name: The part of the reference after the source: an application's name or a path.
        arguments: Constructor arguments.
        weights: ``imagenet``, ``random``, a path, or None for the source's default.
        overrides: Changes to the input contract, such as ``--img-size``: the spec's ``input`` is
            ``overrides.apply(contract)`` of the model's own contract.
        trust_model_code: Whether code that comes with the model may be run, and what else may.
        is_bare: Whether the reference was a bare path, without a source before it.
        allow_download: Whether it may be fetched. A model that only a file names is not: the file
            may come from anybody.
        model: The model itself, if it is an object of the calling program; see `ModelSource.take`.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    overrides: InputOptions = field(default_factory=InputOptions)
    trust_model_code: Trust = field(default_factory=Trust)
    is_bare: bool = False
    allow_download: bool = True
    model: Any = None


@dataclass(frozen=True, slots=True, repr=False)
class Layer(Shown):
    """A named output inside a model whose activations can be taken.

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
        receptive_field: Rows or columns of the input (the larger number) that one position of
            the map depends on; None where it is the whole image, or not known.
        step: Input rows between neighbouring rows of the map, followed layer by layer; None where
            that is not known.
        parameters: Weights that are needed to compute it; None where they are not counted.
        own_parameters: Weights of the layer itself; of a graph those that come in behind the
            results before it. None where they are not counted.
        trainable: Whether training would change these weights; None where the model does not say.
        dtype: The type of its values inside the network, such as ``float32``; empty where it is
            not known. Features are given as float32.
        is_result: Whether it is what a Keras model returns.
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
    own_parameters: int | None = None
    trainable: bool | None = None
    dtype: str = ""
    is_result: bool = False
    is_detail: bool = False
    operation: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layer:
        """Rebuild a layer from `to_dict`."""
        return cls(**(dict(data) | {"shape": tuple(data["shape"])}))

    @property
    def num_bytes(self) -> int | None:
        """Bytes of one unpooled float32 row, or None where the shape varies."""
        sizes = [size for size in self.shape if size is not None]
        return 4 * math.prod(sizes) if len(sizes) == len(self.shape) else None

    @property
    def layout(self) -> Layout | None:
        """The order of axes in which the network has a map; None for what is not a map."""
        if len(self.shape) != 3:
            return None
        return "channels_first" if self.channels_first else "channels_last"

    def stride(self, input_height: int) -> int | None:
        """Input rows between rows of the map; None for layers without space, or where not known."""
        if len(self.shape) != 3 or not self.shape[0]:
            return None
        if self.step is not None:
            return self.step
        # Windows without padding lose rows at the edge: only a whole quotient says anything.
        return input_height // self.shape[0] if input_height % self.shape[0] == 0 else None


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a network does with pixels before its first layer, for a person.

    Attributes:
        text: What it does, without a subject: ``begins with 'scale': from [0, 255] to [0, 1]``.
            Empty where that is not known.
        warning: Why the scaling that was asked for is not right for that; empty if it is.
        any_size: Whether it takes images of any size, and none was chosen.
    """

    text: str = ""
    warning: str = ""
    any_size: bool = False


class Described(Protocol):
    """What can be said of a model without running it: a part of `Backbone`, explained there."""

    spec: ModelSpec
    num_layers: int | None
    notes: Sequence[str]
    beginning: Beginning

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        ...


class Backbone(Protocol):
    """A loaded model. Sources of models return one; tests bring their own.

    Attributes:
        spec: The resolved model.
        num_layers: Length of Keras's `model.layers`; None for models without numbered layers.
        default_layer: The layer that is taken when none is named; None for the last feature map.
        notes: What else a person should know of it, one line each.
        packages: What loaded it besides TensorFlow and Keras, by the names under which pip knows
            them: the record of a run states their versions.
        beginning: What it does with pixels first, as far as it is known.
        runs_own_code: Whether code that came with it was trusted: that may change while its
            files do not, so that nothing made from it is kept.
    """

    spec: ModelSpec
    num_layers: int | None
    default_layer: str | None
    notes: Sequence[str]
    packages: Sequence[str]
    beginning: Beginning
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
        """The engine, the precision, and what else is recorded of a run.

        ``{"engine": "numpy", "precision": "float32"}`` says that calling the backbone computes its
        layers, on that engine. One of `featx.engines.engines.ENGINES` is compared with the other
        engines; any other name means that the backbone is its own engine, and is called as it is.
        Empty facts say that there is only a graph: an engine computes what `freeze` returns, which
        then must not be None.
        """
        ...

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory, ready to compute; False for one known from earlier."""
        ...

    def features(self) -> Sequence[Layer]:
        """Describe every layer, in the order of computation."""
        ...

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers for images: [0, 255], uint8 or float32, (B, H, W, C), RGB.

        Returns:
            For each name a float32 array of shape (B, *layer shape).
        """
        ...

    def freeze(self, names: Sequence[str]) -> NetworkGraph | None:
        """Return the graph of some layers for another engine; None if there is not one for all."""
        ...


class NumpyBackbone(Shown, ABC):
    """Base class of a backbone that computes its layers itself, with NumPy or in any other way.

    Write `features` and ``__call__``; everything else has the value that suits a model of which
    there is only a function. The attributes are those of `Backbone`.

    Args:
        spec: The resolved model.

    Example:
        >>> class Mean(NumpyBackbone):
        ...     def features(self):
        ...         return (Layer("mean", "layer", "Mean", None, (3,)),)
        ...
        ...     def __call__(self, images, names):
        ...         return {"mean": images.mean(axis=(1, 2), dtype="float32")}
    """

    num_layers: int | None = None
    default_layer: str | None = None
    notes: Sequence[str] = ()
    packages: Sequence[str] = ()
    beginning = Beginning()
    runs_own_code = False
    is_loaded = True
    concurrency = 1
    batch_size = DEFAULT_BATCH_SIZE
    run_facts: Mapping[str, Any] = {"engine": "numpy", "precision": "float32"}

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    @abstractmethod
    def features(self) -> Sequence[Layer]:
        """Describe every layer; see `Backbone.features`."""

    @abstractmethod
    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute layers; see `Backbone.__call__`."""

    def freeze(self, names: Sequence[str]) -> NetworkGraph | None:
        """Say that there is no graph for another engine."""
        return None
