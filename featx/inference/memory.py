"""The memory of engines: networks, refusals, precisions, speeds, time lost without them.

Nothing is remembered of models whose code was trusted: the code may change while the files of the
model do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from featx.engines.engines import (
    ENGINES,
    Compiling,
    ComputeType,
    Engine,
    Network,
    NetworkSettings,
)
from featx.engines.graph import NotConvertible
from featx.inference.converted import (
    find_network,
    forget_network,
    is_kept,
    keep_network,
    touch_network,
)
from featx.inference.kept_graph import KeptGraph, read_kept
from featx.inference.trial import Choice, Trial
from featx.machine import describe_machine
from featx.models.remembered import versions
from featx.specs import digest
from featx.user_cache import forget_facts, read_facts, remember_facts

_Read = TypeVar("_Read")

FORMAT = 8
"""Cache format version; entries of other versions are ignored."""

CONVERTED = "converted"
"""The form of a network as it was converted; others are named by the precision they are for."""

GRAPH = "graph"
"""The form of a network that is still to be converted."""


class OtherForm(NotConvertible):
    """An engine does not take graphs of the backbone's form, and is no candidate."""


@dataclass(frozen=True, slots=True)
class KnownPrecision:
    """The precision that suits some layers of a model, as other pictures showed.

    Attributes:
        precision: That precision.
        cosine: The lowest cosine to float32 of it, or of those that were not taken.
    """

    precision: ComputeType
    cosine: float


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """The memory of one engine for some layers of a model.

    Attributes:
        engine: The engine.
        trial: The model and its layers.
    """

    engine: Engine
    trial: Trial

    def find(self, form: str) -> Any:
        """Return a form of the network from the cache; None if it is not there."""
        return self._find(form, self.engine.read)

    def keep(self, model: Any, form: str) -> bool:
        """Put a form of the network into the cache; False where the cache cannot be written."""
        return self._keep(form, lambda folder: self.engine.save(model, folder))

    def touch(self, form: str) -> bool:
        """Whether a form of the network is in the cache, perhaps damaged; it counts as used."""
        return self._is_used and touch_network(self._key(form))

    def find_compiled(self, form: str, settings: NetworkSettings) -> Network | None:
        """Open a form of the network as it was compiled here; None if it is not in the cache."""
        engine = self.engine
        if not isinstance(engine, Compiling):
            return None
        name = _compiled_name(form, engine.describe_compiled(settings))
        return self._find(name, lambda folder: engine.read_compiled(folder, settings))

    def keep_compiled(self, network: Network, form: str, settings: NetworkSettings) -> None:
        """Put a network into the cache as it was compiled, in place of one that was not read."""
        engine = self.engine
        if not isinstance(engine, Compiling) or not engine.is_worth_keeping(network):
            return
        description = engine.describe_compiled(settings)
        name, facts = _compiled_name(form, description), {"form": form, **description}
        forget_network(self._key(name))
        self._keep(name, lambda folder: engine.save_compiled(network, folder), compiled=facts)

    def find_graph(self) -> KeptGraph | None:
        """Return the graph that an earlier run has kept; None if there is none."""
        return self._find(GRAPH, lambda folder: read_kept(folder, self.trial.names))

    def keep_graph(self, graph: KeptGraph) -> None:
        """Put a graph into the cache, to be converted by the next run."""
        self._keep(GRAPH, graph.save)

    def forget_graph(self) -> None:
        """Delete the graph that an earlier run has kept."""
        forget_network(self._key(GRAPH))

    def _find(self, form: str, read: Callable[[Path], _Read]) -> _Read | None:
        folder = find_network(self._key(form)) if self._is_used else None
        try:
            return None if folder is None else read(folder)
        except NotConvertible:  # Another process has just deleted it, or it is not of this system.
            return None

    def _keep(self, form: str, write: Callable[[Path], None], **facts: Any) -> bool:
        if not self._is_used:
            return True
        facts = self._description() | facts
        return keep_network(self._key(form), write, facts) is not None

    def check_refusal(self) -> None:
        """Refuse at once what could not be converted before: trying again takes as long.

        Raises:
            NotConvertible: For the reason that is remembered.
        """
        known = read_facts("refusals", self._key(CONVERTED)) if self._is_used else None
        if known is not None and "reason" in known:
            raise (OtherForm if known.get("is_other_form") else NotConvertible)(known["reason"])

    def keep_refusal(self, error: NotConvertible) -> None:
        """Remember a refusal, if it will be the same next time.

        A full disk or too little memory will not.
        """
        if self._is_used and not isinstance(error.__cause__, (OSError, MemoryError)):
            facts = {"reason": str(error), "is_other_form": isinstance(error, OtherForm)}
            remember_facts("refusals", self._key(CONVERTED), facts | self._description())

    def has_network(self) -> bool:
        """Whether a network, or the graph to be converted, is in the cache, whole or not."""
        return self._is_used and any(is_kept(self._key(form)) for form in (CONVERTED, GRAPH))

    def find_precision(self) -> KnownPrecision | None:
        """Return what was found out about precisions on this machine; None if nothing was."""
        facts = read_facts("precisions", self._precision_key()) if self._is_used else None
        try:
            known = None if facts is None else KnownPrecision(facts["precision"], facts["cosine"])
        except KeyError:  # Written by another version of featx.
            return None
        if known is None or known.precision not in self.engine.precisions:
            return None
        return known if isinstance(known.cosine, float) else None

    def keep_precision(self, known: KnownPrecision) -> None:
        """Remember what was found out about precisions."""
        if self._is_used:
            facts = {"precision": known.precision, "cosine": known.cosine}
            remember_facts("precisions", self._precision_key(), facts | self._description())

    def forget_precision(self) -> None:
        """Let precisions be compared anew."""
        forget_facts("precisions", self._precision_key())

    def _precision_key(self) -> str:
        return digest({"machine": describe_machine(), "network": self._key("precision")})

    @property
    def _is_used(self) -> bool:
        return not self.trial.backbone.runs_own_code

    def _key(self, form: str) -> str:
        """Identify a form of the network: model, layers, engine and versions."""
        return digest(
            {
                "format": FORMAT,
                "engine": self.engine.name,
                "form": form,
                "model": self.trial.backbone.spec.network_identity(),
                "layers": self.trial.names,
                "versions": [dict(self.engine.versions()), *versions()],
            }
        )

    def _description(self) -> dict[str, Any]:
        """Describe the entry to a person who looks into the cache."""
        return {"model": self.trial.reference, "layers": list(self.trial.names)}


def _compiled_name(form: str, description: Mapping[str, Any]) -> str:
    return f"{form}-compiled-{digest(description)}"


def speeds_key(trial: Trial, candidates: Sequence[Choice]) -> str:
    """Identify measured speeds: machine, model, layers; engines, their precisions and versions."""
    return digest(
        {
            "format": FORMAT,
            "machine": describe_machine(),
            "model": trial.backbone.spec.network_identity(),
            "layers": trial.names,
            "candidates": [[one.engine, one.facts["precision"]] for one in candidates],
            "engines": [dict(ENGINES[one.engine].versions()) for one in candidates],
            "versions": versions(),
        }
    )


@dataclass(frozen=True, slots=True)
class KnownSpeeds:
    """Speeds of engines that were measured on this machine.

    Attributes:
        by_engine: Images per second.
        times: How many runs of featx measured them.
    """

    by_engine: dict[str, float]
    times: int = 1

    def add(self, measured: Mapping[str, float]) -> KnownSpeeds:
        """Return the means with one more measurement: geometric, so that ratios are means too."""
        means = {
            engine: math.exp(
                (self.times * math.log(self.by_engine[engine]) + math.log(speed)) / (self.times + 1)
            )
            for engine, speed in measured.items()
        }
        return KnownSpeeds(means, self.times + 1)


def find_speeds(key: str, candidates: Sequence[Choice]) -> KnownSpeeds | None:
    """Return remembered speeds of all these candidates; None if there are none."""
    known = read_facts("speeds", key) or {}
    try:
        speeds = {candidate.engine: float(known[candidate.engine]) for candidate in candidates}
        times = int(known.get("times", 1))
    except (KeyError, TypeError, ValueError):  # None are remembered, or those are none.
        return None
    is_sensible = times > 0 and all(0 < speed < math.inf for speed in speeds.values())
    return KnownSpeeds(speeds, times) if is_sensible else None


def keep_speeds(key: str, known: KnownSpeeds) -> None:
    """Remember the speeds of engines."""
    facts = {**known.by_engine, "times": known.times, "machine": describe_machine()}
    remember_facts("speeds", key, facts)


def find_lost_seconds(trial: Trial) -> float:
    """Return what earlier runs on this machine have lost because nothing was converted."""
    if trial.backbone.runs_own_code:
        return 0.0
    facts = read_facts("lost", _loss_key(trial)) or {}
    seconds = facts.get("seconds")
    return seconds if isinstance(seconds, float) and seconds >= 0 else 0.0


def keep_lost_seconds(trial: Trial, seconds: float) -> None:
    """Remember what runs on this machine have lost because nothing was converted."""
    if not trial.backbone.runs_own_code:
        facts = {"model": trial.reference, "layers": list(trial.names), "seconds": seconds}
        remember_facts("lost", _loss_key(trial), facts)


def _loss_key(trial: Trial) -> str:
    return digest(
        {
            "format": FORMAT,
            "machine": describe_machine(),
            "model": trial.backbone.spec.network_identity(),
            "layers": trial.names,
            "versions": versions(),
        }
    )
