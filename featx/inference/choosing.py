"""Choosing what computes some layers: candidates are opened, compared, and measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from featx.engines.engines import ENGINES, Engine
from featx.engines.graph import NotConvertible
from featx.errors import AddOnError, InvalidValue
from featx.inference.announcing import announce_choice, note_other_precision, note_refusals
from featx.inference.candidates import Candidate
from featx.inference.first_use import is_worth_converting, measuring_seconds
from featx.inference.loaded import LoadedNetwork
from featx.inference.memory import OtherForm
from featx.inference.request import AUTO, FAST, EngineRequest, precisions_of
from featx.inference.speed import choose_fastest
from featx.inference.trial import Choice, Trial
from featx.specs import describe_precision
from featx.wording import option


def choose_network(trial: Trial, request: EngineRequest) -> Choice:
    """Choose engine and precision for some layers of a backbone.

    Args:
        trial: The backbone, the layers, and the images on which candidates are tried.
        request: What was asked for.

    Raises:
        InvalidValue: If this processor cannot compute in the precision that was asked for.
        NotConvertible: If no engine can compute the layers as asked for; says why.
    """
    trial = replace(trial, further=cache(trial.further))  # The same images for each candidate.
    loaded = LoadedNetwork(trial.backbone, trial.names)
    own = None if loaded.engine is None else Choice(loaded.engine, loaded, loaded.facts)
    if own is not None and _runs_as_loaded(trial, request, own):
        chosen = own
    elif own is not None and not is_worth_converting(trial, request, loaded):
        results = loaded.try_out(trial.pixels)
        chosen = replace(own, results=results, seconds=loaded.seconds)
    else:
        opened, refusals = _open_candidates(trial, request, loaded)
        if own is not None:
            tried = replace(
                own, is_warm=loaded.is_tried, seconds_per_image=loaded.seconds_per_image
            )
            own = None if opened and loaded.failure else tried
        seconds = measuring_seconds(trial, loaded)
        chosen = _choose(trial, request, _Candidates(opened, own, refusals, seconds))
        note_refusals(trial, refusals, chosen.engine)
    if chosen.check is None:
        announce_choice(trial, chosen.facts)
    stored = request.stored_precision
    if request.precision == AUTO and stored in FAST and chosen.facts.get("precision") != stored:
        note_other_precision(trial, stored, chosen)
    return chosen


def _runs_as_loaded(trial: Trial, request: EngineRequest, own: Choice) -> bool:
    """Whether there is nothing to choose: a backbone may be its own engine, as toys are."""
    is_own_engine = own.engine not in ENGINES
    return is_own_engine or request.engine == own.engine or trial.pixels.dtype != np.uint8


def _open_candidates(
    trial: Trial, request: EngineRequest, loaded: LoadedNetwork
) -> tuple[list[Choice], dict[str, str]]:
    """Open every engine that was asked for, except the one that loaded the model.

    Returns:
        Those that agree with it, and the reasons why others cannot take the model.

    Raises:
        InvalidValue: If none can compute, on this processor, in the precision that was asked for.
    """
    opened: list[Choice] = []
    refusals: dict[str, str] = {}
    for engine in _find_engines(trial, request, loaded):
        try:
            opened.append(Candidate(engine, trial, request, loaded).open())
        except OtherForm as error:
            if request.engine != AUTO:
                refusals[engine.name] = str(error)
        except NotConvertible as error:
            refusals[engine.name] = str(error)
    return opened, refusals


def _find_engines(trial: Trial, request: EngineRequest, loaded: LoadedNetwork) -> list[Engine]:
    """Return the engines that may be what was asked for."""
    engines = []
    for name in ENGINES if request.engine == AUTO else [request.engine]:
        try:
            if name != loaded.engine:
                engines.append(ENGINES[name])
        except AddOnError as error:  # A broken add-on must not stop what works without it.
            if request.engine != AUTO:
                raise
            trial.listener.note(str(error))
    precision = request.precision
    if request.asks_for_fast:
        engines = [
            engine
            for engine in engines
            if precision in precisions_of(engine)
            and (precision not in FAST or engine.has_precision(precision))
        ]
        if not engines:
            raise InvalidValue(
                "This processor has no instructions for bfloat16. Use "
                f"{option('precision', 'auto')}."
            )
    return engines


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What was opened, the backbone as it was loaded, why others cannot take the model, and how
    long to measure each."""

    opened: list[Choice]
    own: Choice | None
    refusals: dict[str, str]
    seconds: float


def _choose(trial: Trial, request: EngineRequest, candidates: _Candidates) -> Choice:
    """Choose among what was opened and the backbone as it was loaded."""
    opened, own = candidates.opened, candidates.own
    if not opened:
        if own is None or request.asks_for_fast:
            raise NotConvertible(_describe_failure(trial, request, candidates.refusals))
        return own
    # An extraction continues in the precision in which it began.
    same = [one for one in opened if one.facts["precision"] == request.stored_precision]
    if request.stored_precision in FAST and same:
        return same[0]
    if request.engine != AUTO:
        return opened[0]
    loaded = None if request.asks_for_fast else own
    return choose_fastest(trial, opened, loaded, candidates.seconds)


def _describe_failure(trial: Trial, request: EngineRequest, refusals: dict[str, str]) -> str:
    """Say why no engine computes a network."""
    reasons = [(engine, reason.rstrip(".")) for engine, reason in refusals.items()]
    if request.asks_for_fast:
        layers = ", ".join(trial.names)
        what = f"compute {layers} of {trial.reference} in {describe_precision(request.precision)}"
        remedy = (
            f"Start over with {option('overwrite', True)}."
            if request.quantized  # The existing features say which network it is.
            else f"Use {option('precision', 'auto')}."
        )
    else:
        what = f"take {trial.reference}"
        remedy = (
            f"Use {option('engine', 'auto')}."
            if request.engine != AUTO
            else "Use another model or layer."
        )
    told = "; ".join(f"{engine} cannot {what}: {reason}" for engine, reason in reasons)
    return f"{told or f'no engine can {what}'}. {remedy}"
