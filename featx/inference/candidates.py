"""One engine as a candidate: its network converted, compared, and opened in a precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from featx.engines.engines import ComputeType, Engine, NetworkSettings
from featx.engines.graph import NetworkGraph, NotConvertible
from featx.errors import ModelError
from featx.inference.agreement import check_same, check_shapes, compare_precisions
from featx.inference.announcing import note_no_cache, note_not_compared
from featx.inference.loaded import LoadedNetwork
from featx.inference.memory import CONVERTED, EngineMemory, OtherForm
from featx.inference.request import AUTO, FAST, EngineRequest
from featx.inference.trial import Choice, Trial
from featx.machine import available_cores


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may compute some layers of a model.

    Attributes:
        engine: The engine.
        trial: The layers to compute, and the images to try it on.
        request: Which precision is asked for.
        loaded: The backbone as it was loaded, with which the engine is compared.
    """

    engine: Engine
    trial: Trial
    request: EngineRequest
    loaded: LoadedNetwork

    def open(self) -> Choice:
        """Convert the network, or read it from the cache, and open it in the best precision.

        Raises:
            NotConvertible: If the engine cannot compute it, or not in the precision that was asked
                for; the message says why.
        """
        model, exact = self._convert()
        wanted = self.request.wanted_precision
        if wanted in FAST and wanted in self.engine.precisions:
            try:
                return self._start_fast(model, wanted)
            except NotConvertible as error:
                if self.request.asks_for_fast:
                    raise
                exact = exact or self._start(model, "float32")
                return replace(exact, missing_precision=str(error))
        exact = exact or self._start(model, "float32")
        return self._choose_precision(model, exact) if wanted == AUTO else exact

    def _convert(self) -> tuple[Any, Choice | None]:
        """Return the engine's model, and its network in float32 if that was compared just now."""
        memory = EngineMemory(self.engine, self.trial)
        model = memory.find(CONVERTED)
        if model is not None:
            return model, None
        memory.check_refusal()
        try:
            graph = self._freeze()
            model = self.engine.convert(graph, self.trial.backbone.spec.input)
        except NotConvertible as error:
            memory.keep_refusal(error)
            raise
        if graph.form == self.engine.name:  # Built for this engine, and compared by its own tests.
            return model, None
        exact = self._start(model, "float32")
        if self._is_compared(exact) and not memory.keep(model, CONVERTED):
            note_no_cache(self.trial)
        return model, exact

    def _freeze(self) -> NetworkGraph:
        graph = self.trial.backbone.freeze(self.trial.names)
        if graph is None:
            raise NotConvertible("its layers are not in one graph")
        if graph.form not in self.engine.forms:
            raise OtherForm(f"it takes no graphs of the form {graph.form!r}")
        return graph

    def _is_compared(self, exact: Choice) -> bool:
        """Compare a network with the loaded one, if there is one and it can compute here.

        When it is converted: the model is in memory then, and a network that is kept was compared.

        Returns:
            Whether the network may be kept.

        Raises:
            NotConvertible: If they differ.
        """
        loaded = self.loaded
        if loaded.engine is None:
            return True
        expected = loaded.try_out(self.trial.pixels)
        if expected is None:
            note_not_compared(self.trial, self.engine.name, loaded.engine, loaded.failure)
            return False
        assert exact.results is not None
        check_same(expected, exact.results, loaded.engine)
        return True

    def _choose_precision(self, model: Any, exact: Choice) -> Choice:
        """Return the fastest precision whose results hardly differ from float32."""
        facts: dict[str, Any] = {}
        assert exact.results is not None
        for precision in self.engine.precisions[1:]:
            try:
                fast = self._start_fast(model, precision)
            except NotConvertible:
                continue
            assert fast.results is not None
            agreement = compare_precisions(
                self.trial, (exact.network, exact.results), (fast.network, fast.results)
            )
            facts = {
                "compared_precision": precision,
                "compared_images": agreement.num_images,
                "lowest_cosine": {
                    name: round(cosine, 6) for name, cosine in agreement.cosines.items()
                },
            }
            if agreement.is_enough:
                return replace(fast, facts=fast.facts | facts, reference=exact.network)
        return replace(exact, facts=exact.facts | facts)

    def _start_fast(self, model: Any, precision: ComputeType) -> Choice:
        """Open a network in another precision than float32, and try it.

        Raises:
            NotConvertible: If the engine cannot; the message follows the name of the precision.
        """
        if not self.engine.has_precision(precision):
            raise NotConvertible("for which this processor has no instructions")
        memory = EngineMemory(self.engine, self.trial)
        prepared = memory.find(precision)
        if prepared is None:
            prepared = self.engine.prepare(model, precision)
            if prepared is not model:
                memory.keep(prepared, precision)
        return self._start(prepared, precision)

    def _start(self, model: Any, precision: ComputeType) -> Choice:
        """Open a network and try it.

        Raises:
            NotConvertible: If the engine cannot, or gives other shapes than the backbone states.
        """
        settings = NetworkSettings(
            self.trial.names, precision, available_cores(), self.trial.batch_size
        )
        network = self.engine.open(model, settings)
        try:
            results = network(self.trial.pixels)
        except NotConvertible:
            raise
        except ModelError as error:
            raise NotConvertible(str(error)) from error
        check_shapes(self.trial, results)
        facts = {"engine": self.engine.name, **self.engine.versions(), "precision": precision}
        return Choice(self.engine.name, network, facts, results)
