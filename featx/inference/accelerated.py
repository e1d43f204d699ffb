"""Choosing engine and precision for a model, by what it is and by what was measured."""

from __future__ import annotations

import glob
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy as np

from featx.engines.frozen import FrozenNetwork, NotConvertible
from featx.errors import InvalidValue, ModelError
from featx.events import Listener
from featx.inference.converted import find_network, keep_network
from featx.inference.measuring import compare_speeds, lowest_cosine
from featx.machine import available_cores, describe_machine
from featx.models.backbone import Backbone, Tap
from featx.specs import Engine, Precision, check_choice, digest
from featx.user_cache import read_facts, remember_facts

if TYPE_CHECKING:
    from featx.engines.openvino import OpenVinoNetwork

LOWEST_COSINE = 0.999
"""bfloat16 is used where every row of every tap keeps this cosine to its float32 values."""

SAMPLE = 8
"""Images of the first batch, on which precisions and engines are compared. The first batch has no
more of them unless the user says so: then nothing is computed twice."""

MAX_STREAMS = 16
"""Of VGG19, the largest common network here, a stream takes 100 MB in float32."""

CLEARLY_FASTER = 1.15
"""TensorFlow is taken where it is that much faster: what else happened to run on the machine while
engines were compared must not decide for good."""

FORMAT = 2
"""Of what the cache holds; other numbers are not read."""


Results = dict[str, np.ndarray]
"""Taps by name: float32 (B, *tap shape)."""


class Network(Protocol):
    """Computes the taps that were chosen, for pixels as they are decoded."""

    @property
    def concurrency(self) -> int:
        """Batches that it computes at the same time."""
        ...

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        ...

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Compute one batch."""
        ...


class AcceleratedBackbone:
    """A backbone on the engine and in the precision that suit it and this machine.

    Everything is decided when the first batch is there, and stays so.

    Args:
        backbone: The model.
        engine: ``auto``, ``tensorflow`` or ``openvino``.
        precision: ``auto``, ``float32`` or ``bfloat16``.
        former: What ``auto`` goes on with, if this engine and processor can: the precision of
            features that are there already.
        listener: Is told what was chosen, and why.

    Attributes:
        run_facts: Engine and precision, and what was measured; empty before the first batch.
        concurrency: Batches that may be computed at the same time; 1 before the first.
        batch_size: Images that are best given at a time.

    Raises:
        UnknownName: If there is no such engine or precision.
        InvalidValue: If an engine does not compute in the precision asked for.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        engine: Engine = "auto",
        precision: Precision = "auto",
        former: Precision = "auto",
        listener: Listener | None = None,
    ) -> None:
        check_engine(engine, precision)
        self.spec = backbone.spec
        self.num_layers = backbone.num_layers
        self.default_layer = backbone.default_layer
        self.notes = backbone.notes
        self.packages = backbone.packages
        self.runs_own_code = backbone.runs_own_code
        self.concurrency = 1
        self.batch_size = SAMPLE
        self.run_facts: dict[str, Any] = {}
        self._backbone = backbone
        self._engine = engine
        self._precision = precision
        self._former = former
        self._listener = listener or Listener()
        self._network: Network | None = None
        self._names: tuple[str, ...] = ()
        self._lock = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether the model itself is in memory."""
        return self._backbone.is_loaded

    def features(self) -> Sequence[Tap]:
        """Describe every tap, in the order of computation."""
        return self._backbone.features()

    def freeze(self, names: Sequence[str]) -> FrozenNetwork | None:
        """Return the graph of the model; see `featx.models.backbone.Backbone`."""
        return self._backbone.freeze(names)

    def __call__(self, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Compute taps; see `featx.models.backbone.Backbone`. Pixels are uint8."""
        with self._lock:
            if self._network is None or self._names != tuple(names):
                self._names = tuple(names)
                self._network, results = self._choose(images[:SAMPLE])
                self.concurrency = self._network.concurrency
                self.batch_size = self._network.batch_size
                if results is not None and len(images) <= SAMPLE:
                    return results
            network = self._network
        return network(images)

    def _choose(self, sample: np.ndarray) -> tuple[Network, Results | None]:
        """Return what computes the taps, and what it gave for the images that it was tried on."""
        own = _OwnEngine(self._backbone, self._names)
        on_tensorflow = own.facts["engine"] == "tensorflow"  # Else it is its own engine.
        if on_tensorflow and self._engine != "tensorflow" and sample.dtype == np.uint8:
            try:
                network, results, facts = self._open_openvino(sample)
            except NotConvertible as error:
                if self._precision == "bfloat16":
                    raise
                self._listener.note(
                    f"openvino cannot take {self.spec.reference} ({error}): "
                    f"{own.facts['engine']} runs it"
                )
            else:
                asked = self._engine == "openvino" or self._precision == "bfloat16"
                if asked or self._is_faster(network, own, sample, facts):
                    self._announce(facts)
                    self.run_facts = facts
                    return network, results
                self._announce(own.facts)
        if self._precision == "auto" and self._former == "bfloat16":
            self._listener.note("the features that are there are in bfloat16, new ones in float32")
        self.run_facts = own.facts
        return own, None

    def _open_openvino(self, sample: np.ndarray) -> tuple[OpenVinoNetwork, Results, dict[str, Any]]:
        """Convert and compile for OpenVINO; compare bfloat16 with float32 where that is asked."""
        from featx.engines import openvino

        facts: dict[str, Any] = {"engine": "openvino", "openvino": openvino.version()}
        model = self._convert(openvino)
        cores = available_cores()

        def compile_for(precision: openvino.Precision) -> openvino.OpenVinoNetwork:
            return openvino.OpenVinoNetwork(
                model,
                self._names,
                precision=precision,
                num_threads=cores,
                num_streams=count_streams(cores),
                block=min(openvino.BLOCK, len(sample)),
            )

        if self._precision == "bfloat16" and not openvino.has_bfloat16():
            raise InvalidValue(
                "This processor has no instructions for bfloat16. Use --precision auto."
            )
        precision = self._former if self._precision == "auto" else self._precision
        if precision == "bfloat16" and not openvino.has_bfloat16():
            self._listener.note(
                "the features that are there are in bfloat16, for which this processor has no "
                "instructions: new ones are in float32"
            )
            precision = "float32"
        if precision != "auto":
            network = compile_for(precision)
            return network, self._start(network, sample), facts | {"precision": precision}
        exact = compile_for("float32")
        expected = self._start(exact, sample)
        facts["precision"] = "float32"
        if not openvino.has_bfloat16():
            return exact, expected, facts
        fast = compile_for("bfloat16")
        received = self._start(fast, sample)
        cosines = {name: lowest_cosine(expected[name], received[name]) for name in self._names}
        facts["lowest_cosine"] = {name: round(cosine, 6) for name, cosine in cosines.items()}
        facts["compared_images"] = len(sample)
        if min(cosines.values()) < LOWEST_COSINE:
            return exact, expected, facts
        facts["precision"] = "bfloat16"
        return fast, received, facts

    def _start(self, network: OpenVinoNetwork, pixels: np.ndarray) -> Results:
        """Compute images, and refuse an engine that cannot, or gives other shapes than stated."""
        try:
            values = network.start(pixels)
        except ModelError as error:
            raise NotConvertible(str(error)) from error
        for tap in self.features():
            if tap.name in values and None not in tap.shape:
                shape = values[tap.name].shape
                if shape != (len(pixels), *tap.shape):
                    raise NotConvertible(f"it gives {tap.name!r} the shape {shape[1:]}")
        return values

    def _convert(self, openvino: Any) -> Any:
        """Return the model for OpenVINO, or the folder in the cache where it lies."""
        key = self._key(openvino.version())
        folder = None if self.runs_own_code else find_network(key)
        if folder is not None:
            return folder
        source = self._backbone.freeze(self._names)
        if source is None:
            raise NotConvertible("its layers are not in one graph")
        model = openvino.convert(source, self.spec.input)
        if source.build is None and not self.runs_own_code:
            facts = {"model": self.spec.reference, "layers": list(self._names)}
            keep_network(key, lambda folder: openvino.save(model, folder), facts)
        return model

    def _key(self, openvino_version: str) -> str:
        """Identify the converted network: model, taps, and who converted."""
        return digest(
            {
                "format": FORMAT,
                "model": self.spec.identity(),
                "layers": self._names,
                "openvino": openvino_version,
            }
        )

    def _is_faster(
        self, network: Network, own: _OwnEngine, sample: np.ndarray, facts: dict[str, Any]
    ) -> bool:
        """Whether OpenVINO is at least about as fast as the backbone's own engine, here.

        What was measured is remembered for this machine and model. A model that can be run
        without loading TensorFlow, on a machine without a GPU, is not measured: loading
        alone would take longer than most searches.
        """
        key = digest([FORMAT, self._key(facts["openvino"]), describe_machine(), facts["precision"]])
        speeds = read_facts("speeds", key)
        if speeds is None and not self._backbone.is_loaded and not has_gpu():
            return True
        if speeds is None:
            self._listener.note("comparing engines on the first images, once for this machine")
            some = sample[:4]  # Of slow networks, four take some tenths of a second.
            own(some)  # Loads the model, which then says how many batches it takes at a time.
            runs = [(network, network.concurrency), (own, own.concurrency)]
            speeds = dict(zip(("openvino", "own"), compare_speeds(runs, some), strict=True))
            remember_facts("speeds", key, speeds | {"machine": describe_machine()})
        facts["speed_ratio"] = own.facts["speed_ratio"] = round(
            speeds["openvino"] / speeds["own"], 3
        )
        return bool(speeds["own"] < CLEARLY_FASTER * speeds["openvino"])

    def _announce(self, facts: dict[str, Any]) -> None:
        """Say what was chosen, where something was measured."""
        if "speed_ratio" not in facts and "lowest_cosine" not in facts:
            return
        parts = [f"engine {facts['engine']} in {facts['precision']}"]
        ratio = facts.get("speed_ratio")
        if ratio is not None:
            on_openvino = facts["engine"] == "openvino"
            other, times = ("tensorflow", ratio) if on_openvino else ("openvino", 1 / ratio)
            parts.append(f"{times:.1f} times as fast as {other} here")
        if "lowest_cosine" in facts:
            layer, cosine = min(facts["lowest_cosine"].items(), key=lambda pair: pair[1])
            parts.append(
                f"lowest cosine of bfloat16 to float32 in the first {facts['compared_images']} "
                f"images: {cosine:.5f} ({layer})"
            )
        self._listener.note("; ".join(parts))


class _OwnEngine:
    """A backbone as it was loaded, in float32: TensorFlow, but for backbones of tests."""

    def __init__(self, backbone: Backbone, names: Sequence[str]) -> None:
        self.facts = dict(backbone.run_facts)
        self._backbone = backbone
        self._names = names

    @property
    def concurrency(self) -> int:
        return self._backbone.concurrency

    @property
    def batch_size(self) -> int:
        return self._backbone.batch_size

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return self._backbone(pixels, self._names)


def check_engine(engine: Engine, precision: Precision) -> None:
    """Refuse unknown engines and precisions, and an engine that does not compute in one.

    Raises:
        UnknownName: If there is no such engine or precision.
        InvalidValue: If an engine does not compute in the precision asked for.
    """
    check_choice("engine", engine, get_args(Engine))
    check_choice("precision", precision, get_args(Precision))
    if engine == "tensorflow" and precision == "bfloat16":
        raise InvalidValue(
            "The engine tensorflow computes in float32. For bfloat16 take --engine openvino."
        )


def count_streams(cores: int) -> int:
    """Return how many batches are computed at the same time on a number of cores.

    Each takes memory of its own, so that many cores share some.
    """
    return min(cores, MAX_STREAMS)


def has_gpu() -> bool:
    """Whether there is a GPU that TensorFlow may use; found without loading TensorFlow."""
    return bool(glob.glob("/dev/nvidia[0-9]*"))
