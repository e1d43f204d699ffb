"""One engine as a candidate: its network converted, compared, and opened in a precision."""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from featx.engines.engines import ComputeType, Engine, Network, NetworkSettings
from featx.engines.graph import NetworkGraph, NotConvertible
from featx.errors import ModelError
from featx.inference.agreement import (
    LOWEST_COSINE,
    Agreement,
    check_same,
    check_shapes,
    compare_precisions,
    describe_agreement,
)
from featx.inference.announcing import note_no_cache, note_not_compared, note_other_pictures
from featx.inference.forms import Form, LostNetwork, kept_form
from featx.inference.loaded import LoadedNetwork
from featx.inference.memory import CONVERTED, EngineMemory, KnownPrecision, OtherForm
from featx.inference.quantized import start_quantized
from featx.inference.request import AUTO, FAST, INT8, EngineRequest
from featx.inference.trial import Choice, Spent, Trial
from featx.machine import available_cores

CLOSE = 0.0003
"""Within that of the bound, precisions are compared on more pictures when they are used again: the
lowest cosine of 300 photographs is mostly that near to the one of 24 (``benchmarks/LOG.md``)."""


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
        try:
            return self._open(kept_form(self._memory, CONVERTED))
        except LostNetwork:  # It is damaged, or was deleted just now.
            return self._open(None)

    def _open(self, kept: Form | None) -> Choice:
        """Open the network that is in the cache, or convert it."""
        form, exact = (kept, None) if kept else self._convert()
        wanted = self.request.wanted_precision
        if wanted == INT8:
            exact = exact or self._start(form, "float32")
            return start_quantized(form, self.request.quantized, exact, self._start)
        if wanted in FAST and wanted in self.engine.precisions:
            try:
                return self._start_fast(form, wanted)
            except NotConvertible as error:
                if self.request.asks_for_fast:
                    raise
                exact = exact or self._start(form, "float32")
                return replace(exact, missing_precision=str(error))
        if wanted != AUTO:
            return exact or self._start(form, "float32")
        known = self._memory.find_precision()
        chosen = None if known is None else self._check_precision(form, exact, known)
        return chosen or self._choose_precision(form, exact or self._start(form, "float32"))

    @property
    def _memory(self) -> EngineMemory:
        return EngineMemory(self.engine, self.trial)

    def _made(self, model: Any) -> Form:
        """Return what was converted just now as a form."""
        return Form(self._memory, CONVERTED, lambda: model, is_known=False)

    def _convert(self) -> tuple[Form, Choice | None]:
        """Return the engine's model, and its network in float32 if that was compared just now."""
        memory = self._memory
        with self.trial.spent.timing("convert"):
            model = memory.find(CONVERTED)
        if model is not None:
            return self._made(model), None
        memory.check_refusal()
        converted = self._convert_kept(memory)
        if converted is not None:
            return converted
        try:
            with self.trial.timing_load():
                graph = self._freeze()
            with self.trial.spent.timing("convert"):
                model = self.engine.convert(graph, self.trial.backbone.spec.input)
        except NotConvertible as error:
            memory.keep_refusal(error)
            raise
        if graph.form == self.engine.name:  # Built for this engine, and compared by its own tests.
            return self._made(model), None
        exact = self._start(self._made(model), "float32")
        if self._is_compared(exact):
            self._keep(model)
        return self._made(model), exact

    def _convert_kept(self, memory: EngineMemory) -> tuple[Form, Choice] | None:
        """Convert the graph that an earlier run has kept: the model need not be loaded.

        Compared are the images that were computed when it was.

        Returns:
            None if there is no such graph, or it does not give the same: then the model is loaded.
        """
        with self.trial.spent.timing("convert"):
            kept = memory.find_graph()
        if kept is None:
            return None
        try:
            with self.trial.spent.timing("convert"):
                model = self.engine.convert(kept.model.graph, kept.model.contract)
            network = self._compile(self._made(model), "float32")
            other = replace(self, trial=replace(self.trial, pixels=kept.pixels))
            again = other._try_out(network, "float32")
            assert again.results is not None
            check_same(kept.results, again.results, self.loaded.engine or "")
        except NotConvertible:
            return None
        finally:
            memory.forget_graph()
        self._keep(model)
        return self._made(model), self._try_out(network, "float32")

    def _keep(self, model: Any) -> None:
        """Put a network that was compared into the cache, or say that it cannot be."""
        with self.trial.spent.timing("convert"):
            kept = self._memory.keep(model, CONVERTED)
        if not kept:
            note_no_cache(self.trial)

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

    def _choose_precision(self, form: Form, exact: Choice) -> Choice:
        """Return the fastest precision whose results hardly differ from float32."""
        facts: dict[str, Any] = {}
        cosines = [0.0]  # Of the last precision that was compared.
        form = replace(form, is_known=False)  # Some of what is tried is not taken.
        assert exact.results is not None
        for precision in self.engine.precisions[1:]:
            try:
                fast = self._start_fast(form, precision)
            except NotConvertible:
                continue
            assert fast.results is not None
            agreement = compare_precisions(
                self.trial, (exact.network, exact.results), (fast.network, fast.results)
            )
            facts = describe_agreement(agreement, precision)
            cosines.append(min(agreement.cosines.values()))
            if agreement.is_enough:
                self._memory.keep_precision(KnownPrecision(precision, cosines[-1]))
                return replace(fast, facts=fast.facts | facts, reference=exact.network)
        if facts:
            self._memory.keep_precision(KnownPrecision("float32", max(cosines)))
        return replace(exact, facts=exact.facts | facts)

    def _check_precision(
        self, form: Form, exact: Choice | None, known: KnownPrecision
    ) -> Choice | None:
        """Return the network in a precision that suited other pictures, if it suits these.

        In float32 they need not be compared. How many are, depends on how far others were from
        the bound.

        Returns:
            The network, or the one in float32 where it does not suit; None where precisions have
            to be compared anew.
        """
        if known.precision == "float32":
            is_close = known.cosine >= LOWEST_COSINE - CLOSE
            return None if is_close else exact or self._start(form, "float32")
        try:
            fast = self._start_fast(form, known.precision)
        except NotConvertible:
            return None
        few = self._with_few(known)
        if exact is None and self.trial.is_checked_later:
            return replace(fast, check=partial(few._check, form, fast))
        exact = exact or few._start(form, "float32")
        agreement = few._compare(exact, fast)
        facts = describe_agreement(agreement, known.precision)
        if agreement.is_enough:
            return replace(fast, facts=fast.facts | facts, reference=exact.network)
        refuse_known(self.engine, self.trial, facts)
        if len(few.trial.pixels) < len(self.trial.pixels):
            exact = replace(exact, results=None)
        return replace(exact, facts=exact.facts | facts)

    def _with_few(self, known: KnownPrecision) -> Candidate:
        """Return the same candidate with the images on which a known precision is checked."""
        is_close = known.cosine < LOWEST_COSINE + CLOSE
        count = len(self.trial.pixels) if is_close else math.ceil(len(self.trial.pixels) / 2)
        pixels = self.trial.pixels[:count]
        return replace(self, trial=replace(self.trial, pixels=pixels, further=self.trial.checked))

    def _check(self, form: Form, fast: Choice) -> Agreement:
        """Compare a network with float32 on one core, beside what it computes on the others.

        Raises:
            LostNetwork: If the network is not in the cache any more.
            NotConvertible: If float32 cannot be computed now.
        """
        beside = replace(self, trial=replace(self.trial, spent=Spent()))
        return beside._compare(beside._start(form, "float32", num_threads=1), fast)

    def _compare(self, exact: Choice, fast: Choice) -> Agreement:
        """Compare two precisions on the images of the trial, and on further ones.

        The first of their results are of these images.
        """
        count = len(self.trial.pixels)
        expected, received = (
            (one.network, {name: rows[:count] for name, rows in (one.results or {}).items()})
            for one in (exact, fast)
        )
        return compare_precisions(self.trial, expected, received)

    def _start_fast(self, form: Form, precision: ComputeType) -> Choice:
        """Open a network in another precision than float32, and try it.

        Raises:
            NotConvertible: If the engine cannot; the message follows the name of the precision.
        """
        if not self.engine.has_precision(precision):
            raise NotConvertible("for which this processor has no instructions")
        return self._start(form.prepare(precision), precision)

    def _start(self, form: Form, precision: ComputeType, num_threads: int | None = None) -> Choice:
        """Open a network, as it was compiled if that is kept, and try it.

        Raises:
            NotConvertible: If the engine cannot, or gives other shapes than the backbone states.
        """
        with self.trial.spent.timing("convert"):
            network = form.find_compiled(self._settings(precision, num_threads))
        if network is not None:
            with contextlib.suppress(NotConvertible):  # Then it is compiled again.
                return self._try_out(network, precision)
        return self._try_out(self._compile(form, precision, num_threads), precision)

    def _compile(
        self, form: Form, precision: ComputeType, num_threads: int | None = None
    ) -> Network:
        with self.trial.spent.timing("convert"):
            return form.compile(self._settings(precision, num_threads))

    def _settings(self, precision: ComputeType, num_threads: int | None) -> NetworkSettings:
        return NetworkSettings(
            self.trial.names, precision, num_threads or available_cores(), self.trial.batch_size
        )

    def _try_out(self, network: Network, precision: ComputeType) -> Choice:
        """Compute the images of the trial with a network that was opened; see `_start`."""
        began = time.perf_counter()
        try:
            results = network(self.trial.pixels)
        except NotConvertible:
            raise
        except ModelError as error:
            raise NotConvertible(str(error)) from error
        seconds = time.perf_counter() - began
        check_shapes(self.trial, results)
        facts = {"engine": self.engine.name, **self.engine.versions(), "precision": precision}
        return Choice(self.engine.name, network, facts, results, seconds)


def refuse_known(engine: Engine, trial: Trial, facts: dict[str, Any]) -> None:
    """Forget a precision that suited other pictures and not these, and say so.

    Args:
        engine: The engine that computed it.
        trial: What it computed.
        facts: What was found out; see `describe_agreement`.
    """
    EngineMemory(engine, trial).forget_precision()
    note_other_pictures(trial, facts)
