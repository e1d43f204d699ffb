"""`Engine`, which computes the graphs of models, and `ENGINES`, all engines by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from featx.engines.graph import NetworkGraph
from featx.input_spec import InputSpec
from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np  # Not needed to explain ``--engine``.

ComputeType = Literal["float32", "mixed", "bfloat16", "int8"]
"""A precision in which a network is computed; its results are float32 in any case."""

Results: TypeAlias = "dict[str, np.ndarray]"
"""Layers by name: float32 (B, *layer shape), maps with their channels last."""


class Network(Protocol):
    """Chosen layers of a model on an engine, ready to compute.

    Its first call may compile, and may set `batch_size`. From then on it may be called from
    `concurrency` threads at a time.
    """

    @property
    def concurrency(self) -> int:
        """Batches that it computes at the same time."""
        ...

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        ...

    def __call__(self, pixels: np.ndarray) -> Results:
        """Compute a batch of any size: uint8 (B, H, W, C), RGB, not scaled.

        Raises:
            ModelError: If the engine fails, for example because memory runs out.
        """
        ...


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How a network is to run.

    Attributes:
        names: The layers that its results are, in their order.
        precision: In which it computes.
        num_threads: Threads of all its calls together.
        batch_size: Images of the first batch, which says how many there will be at a time.
    """

    names: tuple[str, ...]
    precision: ComputeType
    num_threads: int
    batch_size: int


class Engine(Protocol):
    """What computes the graphs of models.

    featx converts a graph with `convert`, keeps the result in the user's cache (`save`,
    `read`), opens it in the precisions that the processor has, and compares the first results: in
    float32 with the engine that loaded the model, in other precisions with float32. An engine whose
    results differ is not used. Importing its module must not import the library that it stands for.

    `featx.testing.contracts.engines.EngineContract` tests an engine.
    """

    @property
    def name(self) -> str:
        """What ``--engine`` takes."""
        ...

    @property
    def forms(self) -> Collection[str]:
        """The forms of `NetworkGraph` that it takes."""
        ...

    @property
    def precisions(self) -> Sequence[ComputeType]:
        """The precisions in which it can compute, if the processor has them.

        ``float32`` first, then those to try instead of it, the fastest first.
        """
        ...

    def has_precision(self, precision: ComputeType) -> bool:
        """Whether this machine can compute in one of its precisions."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Return the versions that its results depend on, by package; recorded with each run."""
        ...

    def convert(self, graph: NetworkGraph, contract: InputSpec) -> Any:
        """Return its own model of a graph: of uint8 pixels (B, H, W, C), RGB.

        Args:
            graph: The graph, in one of `forms`.
            contract: How its pixels are scaled (`featx.images.preprocess.scale_pixels`).

        Raises:
            NotConvertible: If it cannot take the graph; the message says why.
        """
        ...

    def save(self, model: Any, folder: Path) -> None:
        """Write a model into an empty folder, weights in full precision."""
        ...

    def read(self, folder: Path) -> Any:
        """Open a model that `save` wrote.

        Raises:
            NotConvertible: If it cannot.
        """
        ...

    def prepare(self, model: Any, precision: ComputeType) -> Any:
        """Return the form of a model that is opened in a precision; the model itself if it is that.

        Raises:
            NotConvertible: If there is none.
        """
        ...

    def open(self, model: Any, settings: NetworkSettings) -> Network:
        """Make a model, prepared for its precision, ready to compute.

        Raises:
            NotConvertible: If it cannot.
        """
        ...


@runtime_checkable
class Quantizing(Protocol):
    """What an `Engine` has besides, if it computes in integers of 8 bits (``int8``).

    They are none of its `precisions`: only who asks for them gets them.
    """

    def quantize(self, model: Any, images: Sequence[np.ndarray]) -> Any:
        """Return the form of a model that is opened in ``int8``.

        Args:
            model: A model that the engine converted; not modified.
            images: Those that its ranges are calibrated on: uint8 (H, W, C). The same ones give the
                same network.

        Raises:
            InvalidValue: If a library is missing; names the extra.
            NotConvertible: If the model has nothing to quantise.
        """
        ...


@runtime_checkable
class Compiling(Protocol):
    """What an `Engine` has besides, if its opened networks can be kept, to be opened sooner.

    They are kept beside the models that `Engine.save` writes, and read only if no bit of them has
    changed. One that cannot be read is made from its model again.
    """

    def describe_compiled(self, settings: NetworkSettings) -> Mapping[str, Any]:
        """Return all that an opened network belongs to, besides its model and the versions.

        Returns:
            The processor, and what the engine makes of the settings; JSON-serialisable.
        """
        ...

    def is_worth_keeping(self, network: Network) -> bool:
        """Whether a network that `open` returned is opened sooner if it is kept."""
        ...

    def save_compiled(self, network: Network, folder: Path) -> None:
        """Write a network that `open` returned, and that has not computed yet, into a folder."""
        ...

    def read_compiled(self, folder: Path, settings: NetworkSettings) -> Network:
        """Open a network that `save_compiled` wrote: it gives the same results, bit for bit.

        Raises:
            NotConvertible: If it cannot.
        """
        ...


ENGINES: Registry[Engine] = Registry(
    "engine",
    "featx.engines",
    {
        "tensorflow": "featx.engines.tensorflow_engine:ENGINE",
        "openvino": "featx.engines.openvino:ENGINE",
    },
    Engine,
)
"""Engines by name. One that is added takes part in ``--engine auto`` like featx's own."""
