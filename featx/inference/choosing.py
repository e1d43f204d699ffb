"""Choosing engine and precision, by what was measured on the first images."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np

from featx.engines import openvino
from featx.engines.graph import OPENVINO, NetworkGraph, NotConvertible
from featx.errors import InvalidValue, ModelError
from featx.events import Listener
from featx.inference.converted import find_network, keep_network
from featx.inference.measuring import compare_speeds, lowest_cosine
from featx.inference.network import Network, Results
from featx.inference.own_engine import OwnEngine
from featx.machine import available_cores, describe_machine, has_gpu
from featx.models.backbone import Backbone
from featx.models.remembered import versions
from featx.specs import Engine, Precision, describe_precision, digest
from featx.units import format_count
from featx.user_cache import CACHE_VARIABLE, read_facts, remember_facts

WITH_BFLOAT16: tuple[openvino.ComputeType, ...] = ("bfloat16", "mixed")
"""What is tried instead of float32, the faster one first."""

LOWEST_COSINE = 0.999
"""These are used where every row of every layer keeps this cosine to its float32 values."""

SAME_COSINE = 0.9999
"""Two engines in float32 agree where every row of every layer has this cosine: they differ in the
last digits, and OpenVINO reads a few operations in another way than TensorFlow."""

CLEARLY_FASTER = 1.15
"""TensorFlow is taken where it is that much faster: what else happened to run on the machine while
engines were compared must not decide for good."""

FIRST_BATCH = 8
"""Images of the first batch, on which precisions and engines are compared. It has no more unless
the user says so: then nothing is computed twice."""

MAX_STREAMS = 16
"""Each takes memory of its own: 100 MB for VGG19 in float32. More cores share streams."""

FORMAT = 5
"""Of what the cache holds; other numbers are not read."""

_Form = Literal["converted", "mixed"]
"""Of what the cache holds of a network: as it was converted, or prepared for mixed precision."""

_Started = tuple[openvino.OpenVinoNetwork, Results]
"""A network, and what it gave for the images that it was started with."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What computes some layers from now on.

    Attributes:
        network: It.
        facts: Engine and precision, and what was measured: for the record of the run.
        results: What it gave for the images that it was tried on; None where it was not.
    """

    network: Network
    facts: dict[str, Any]
    results: Results | None = None


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses for one backbone and some of its layers.

    Attributes:
        backbone: The model.
        names: The layers.
        engine: What was asked for.
        precision: What was asked for.
        former: The precision of features that are there already, or ``auto``.
        listener: Is told what was chosen, and why.
        further: Gives more images to compare precisions on: pixels uint8 (H, W, C) of each.
    """

    backbone: Backbone
    names: tuple[str, ...]
    engine: Engine = "auto"
    precision: Precision = "auto"
    former: Precision = "auto"
    listener: Listener = field(default_factory=Listener)
    further: Callable[[], Sequence[np.ndarray]] = tuple

    def choose(self, sample: np.ndarray, batch_size: int) -> Choice:
        """Compare on some images of the first batch.

        Args:
            sample: Pixels: uint8 (B, H, W, C).
            batch_size: Images that will be given at a time.
        """
        own = OwnEngine(self.backbone, self.names)
        on_tensorflow = own.facts["engine"] == "tensorflow"  # Else it is its own engine.
        if on_tensorflow and self.engine != "tensorflow" and sample.dtype == np.uint8:
            try:
                choice = self._open_openvino(own, sample, batch_size)
            except NotConvertible as error:
                if self.precision in WITH_BFLOAT16:
                    raise NotConvertible(
                        f"openvino cannot compute {', '.join(self.names)} of "
                        f"{self.backbone.spec.reference} in {describe_precision(self.precision)}: "
                        f"{str(error).rstrip('.')}. Use --precision auto."
                    ) from error
                self.listener.note(
                    f"openvino cannot take {self.backbone.spec.reference} ({error}): "
                    f"{own.facts['engine']} runs it"
                )
            else:
                asked = self.engine == "openvino" or self.precision in WITH_BFLOAT16
                # What was begun in a precision goes on in it.
                asked |= choice.facts["precision"] in {self.former} & {*WITH_BFLOAT16}
                # A first batch that is not full is all that there is.
                is_small = batch_size < FIRST_BATCH
                if asked or self._is_faster(choice, own, sample, is_small=is_small):
                    self._announce(choice.facts)
                    return choice
                self._announce(own.facts)
        if self.precision == "auto" and self.former in WITH_BFLOAT16:
            self.listener.note(
                f"the features that are there are in {describe_precision(self.former)}, "
                "new ones in float32"
            )
        return Choice(own, own.facts)

    def _open_openvino(self, own: OwnEngine, sample: np.ndarray, batch_size: int) -> Choice:
        """Convert and compile for OpenVINO; compare precisions where that is asked."""
        facts: dict[str, Any] = {"engine": "openvino", "openvino": openvino.version()}
        cores = available_cores()
        # Of a batch, nothing is left that would have to be filled up to a block.
        block = math.ceil(batch_size / math.ceil(batch_size / openvino.BLOCK))

        def start(model: Any, precision: openvino.ComputeType) -> _Started:
            network = openvino.OpenVinoNetwork(
                model,
                self.names,
                precision=precision,
                num_threads=cores,
                num_streams=min(cores, MAX_STREAMS),
                block=block,
            )
            return network, self._start(network, sample)

        if self.precision in WITH_BFLOAT16 and not openvino.has_bfloat16():
            raise InvalidValue(
                "This processor has no instructions for bfloat16. Use --precision auto."
            )
        precision = self.former if self.precision == "auto" else self.precision
        if precision in WITH_BFLOAT16 and not openvino.has_bfloat16():
            self.listener.note(
                f"the features that are there are in {describe_precision(precision)}, for which "
                "this processor has no instructions: new ones are in float32"
            )
            precision = "float32"
        model, in_float32 = self._find("converted"), None
        if model is None:
            with self._refusal_remembered():
                model, source = self._convert()
            if source.form != OPENVINO:  # What was built for it is compared by its own tests.
                in_float32 = start(model, "float32")
                self._check(own(sample), in_float32[1])
                self._keep(model, "converted")
        if precision in WITH_BFLOAT16:
            try:
                network, received = start(self._prepare(model, precision), precision)
                return Choice(network, facts | {"precision": precision}, received)
            except NotConvertible as error:
                if self.precision == precision:
                    raise
                self.listener.note(
                    f"the features that are there are in {describe_precision(precision)}, in which "
                    f"openvino cannot compute now ({error}): new ones are in float32"
                )
                precision = "float32"
        exact, expected = in_float32 or start(model, "float32")
        facts["precision"] = "float32"
        if precision == "float32" or not openvino.has_bfloat16():
            return Choice(exact, facts, expected)
        further = cache(self.further)  # The same pictures for each.
        for candidate in WITH_BFLOAT16:
            try:
                fast, received = start(self._prepare(model, candidate), candidate)
            except NotConvertible:
                continue
            cosines, count = self._compare_further(exact, fast, (expected, received), further)
            facts["compared_precision"] = candidate
            facts["compared_images"] = count
            facts["lowest_cosine"] = {name: round(cosine, 6) for name, cosine in cosines.items()}
            if min(cosines.values()) >= LOWEST_COSINE:
                return Choice(fast, facts | {"precision": candidate}, received)
        return Choice(exact, facts, expected)

    def _start(self, network: openvino.OpenVinoNetwork, pixels: np.ndarray) -> Results:
        """Compute images, and refuse an engine that cannot, or gives other shapes than stated."""
        try:
            values = network.start(pixels)
        except ModelError as error:
            raise NotConvertible(str(error)) from error
        for layer in self.backbone.features():
            if layer.name in values and None not in layer.shape:
                shape = values[layer.name].shape
                if shape != (len(pixels), *layer.shape):
                    raise NotConvertible(f"it gives {layer.name!r} the shape {shape[1:]}")
        return values

    def _find(self, form: _Form) -> Any:
        """Return a form of the network from the cache; None if it is not there."""
        if self.backbone.runs_own_code:
            return None
        folder = find_network(self._key(form))
        try:
            return None if folder is None else openvino.read(folder)
        except NotConvertible:  # Another process has just deleted it, or it is not of this system.
            return None

    def _convert(self) -> tuple[Any, NetworkGraph]:
        """Return the model for OpenVINO, and what it was made of."""
        source = self.backbone.freeze(self.names)
        if source is None:
            raise NotConvertible("its layers are not in one graph")
        return openvino.convert(source, self.backbone.spec.input), source

    def _prepare(self, model: Any, precision: openvino.ComputeType) -> Any:
        """Return the form of a converted model that is compiled in a precision."""
        if precision != "mixed":
            return model
        prepared = self._find("mixed")
        if prepared is None:
            prepared = openvino.prepare_mixed(model)
            self._keep(prepared, "mixed")
        return prepared

    @contextlib.contextmanager
    def _refusal_remembered(self) -> Iterator[None]:
        """Refuse at once what could not be converted before: to try takes as long as to convert.

        Not what may be otherwise next time, such as a full disk or too little memory.
        """
        if self.backbone.runs_own_code:
            yield
            return
        key = self._key("converted")
        known = read_facts("refusals", key)
        if known is not None:
            raise NotConvertible(known["reason"])
        try:
            yield
        except NotConvertible as error:
            if not isinstance(error.__cause__, (OSError, MemoryError)):
                remember_facts("refusals", key, {"reason": str(error)} | self._description())
            raise

    def _check(self, expected: Results, received: Results) -> None:
        """Refuse a converted network that does not give what TensorFlow gives.

        When it is converted: the model is in memory then, and a network that is kept was compared.
        """
        for name, cosine in self._compare(expected, received).items():
            if cosine < SAME_COSINE:
                raise NotConvertible(
                    f"its results differ from TensorFlow's, cosine {cosine:.5f} at {name!r}"
                )

    def _keep(self, model: Any, form: _Form) -> None:
        """Put a form of the network into the cache; say where it cannot be written."""
        if not self.backbone.runs_own_code:
            kept = keep_network(
                self._key(form), lambda folder: openvino.save(model, folder), self._description()
            )
            if kept is None and form == "converted":  # It is said once.
                self.listener.note(
                    "featx's cache cannot be written, so this model is loaded and converted "
                    f"every time; {CACHE_VARIABLE} names another folder"
                )

    def _description(self) -> dict[str, Any]:
        """Say what is kept, to a person who looks into the cache."""
        return {"model": self.backbone.spec.reference, "layers": list(self.names)}

    def _compare(self, expected: Results, received: Results) -> dict[str, float]:
        """Return the lowest cosine between rows of each layer."""
        return {name: lowest_cosine(expected[name], received[name]) for name in self.names}

    def _compare_further(
        self,
        exact: Network,
        fast: Network,
        results: tuple[Results, Results],
        further: Callable[[], Sequence[np.ndarray]],
    ) -> tuple[dict[str, float], int]:
        """Go on, from what two precisions gave for some images, with more of them while they agree.

        Returns:
            The lowest cosine of each layer, and the number of images.
        """
        cosines = self._compare(*results)
        count = size = len(results[0][self.names[0]])
        if min(cosines.values()) >= LOWEST_COSINE:
            images = further()
            for start in range(0, len(images), size):  # No more at a time than a batch may have.
                pixels = np.stack(images[start : start + size])
                compared = self._compare(exact(pixels), fast(pixels))
                cosines = {name: min(cosines[name], compared[name]) for name in self.names}
                count += len(pixels)
                if min(cosines.values()) < LOWEST_COSINE:
                    break
        return cosines, count

    def _key(self, form: _Form) -> str:
        """Identify a form of the network: model, layers, and who converted."""
        return digest(
            {
                "format": FORMAT,
                "form": form,
                "model": self.backbone.spec.identity(),
                "layers": self.names,
                "versions": _engine_versions(),
            }
        )

    def _is_faster(
        self, choice: Choice, own: OwnEngine, sample: np.ndarray, *, is_small: bool
    ) -> bool:
        """Whether OpenVINO is at least about as fast as the backbone's own engine, here.

        What was measured is remembered for this machine, model, layers and precision. A model that
        can be run without loading TensorFlow, on a machine without a GPU, is not measured: loading
        alone would take longer than most searches.

        Args:
            choice: OpenVINO's network.
            own: The backbone's own engine.
            sample: Pixels to measure with.
            is_small: Whether these are all images that there are.
        """
        facts = choice.facts
        model = [self.backbone.spec.identity(), self.names, *_engine_versions()]
        key = digest([FORMAT, model, describe_machine(), facts["precision"]])
        speeds = read_facts("speeds", key)
        if not self.backbone.is_loaded and not has_gpu() and (speeds is None or is_small):
            return True
        if speeds is None:
            self.listener.note("comparing engines on the first images, once for this machine")
            some = sample[:4]  # Of slow networks, four take some tenths of a second.
            own(some)  # Loads the model, which then says how many batches it takes at a time.
            # A GPU is only fast with as many as it will be given.
            many = np.resize(some, (own.batch_size, *some.shape[1:])) if has_gpu() else some
            runs = [(choice.network, some), (own, many)]
            speeds = dict(zip(("openvino", "own"), compare_speeds(runs), strict=True))
            remember_facts("speeds", key, speeds | {"machine": describe_machine()})
        ratio = round(speeds["openvino"] / speeds["own"], 3)
        facts["speed_ratio"] = own.facts["speed_ratio"] = ratio
        return bool(speeds["own"] < CLEARLY_FASTER * speeds["openvino"])

    def _announce(self, facts: dict[str, Any]) -> None:
        """Say what was chosen, where something was measured."""
        if "speed_ratio" not in facts and "lowest_cosine" not in facts:
            return
        parts = [f"engine {facts['engine']} in {describe_precision(facts['precision'])}"]
        ratio = facts.get("speed_ratio")
        if ratio is not None:
            on_openvino = facts["engine"] == "openvino"
            other, times = ("tensorflow", ratio) if on_openvino else ("openvino", 1 / ratio)
            parts.append(f"{times:.1f} times as fast as {other} here")
        if "lowest_cosine" in facts:
            compared = describe_precision(facts["compared_precision"])
            layer, cosine = min(facts["lowest_cosine"].items(), key=lambda pair: pair[1])
            parts.append(
                f"lowest cosine of {compared} to float32 in "
                f"{format_count(facts['compared_images'], 'image')}: {cosine:.5f} ({layer})"
            )
        self.listener.note("; ".join(parts))


def _engine_versions() -> list[str]:
    """Return the versions of OpenVINO and of what made the graph that it gets."""
    return [openvino.version(), *versions()]
