"""The first uses of a model: what is worth doing for the number of images that there are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from featx.engines.engines import ENGINES, Engine
from featx.engines.graph import NotConvertible
from featx.engines.stored_graph import GraphModel
from featx.errors import AddOnError
from featx.inference.kept_graph import KeptGraph
from featx.inference.loaded import LoadedNetwork
from featx.inference.memory import EngineMemory, find_lost_seconds, keep_lost_seconds
from featx.inference.request import AUTO, FAST, INT8, EngineRequest
from featx.inference.speed import LONGEST
from featx.inference.trial import Trial
from featx.models.remembered import RememberedBackbone

CONVERTING_SECONDS, CONVERTING_SECONDS_PER_MB = 0.6, 0.012
"""What converting, compiling and keeping a network takes, for each MB of weights besides
(``benchmarks/LOG.md``)."""

USUAL_GAIN = 2.0
"""How much faster than the engine that loaded it another one mostly computes a network."""

MOST_KEPT_BYTES = 64 << 20
"""Of larger results, no graph is kept to be converted by the next run: they are kept with it."""

MEASURED_SHARE = 0.03
"""The part of computing all images that measuring an engine may take."""


def is_worth_converting(trial: Trial, request: EngineRequest, loaded: LoadedNetwork) -> bool:
    """Whether to convert the network for another engine now, or to go on with the loaded one.

    It is worth it for what it saves in this run, or in runs to come, which are taken to be like
    those before: once these have lost as much as converting costs. So nobody ever spends more than
    twice what would have been best (Karlin et al., Competitive snoopy caching, 1988: rent until the
    rent has reached the price, then buy). The loaded engine computes the first images, by whose
    time the others are judged; nothing is computed twice.
    """
    if (
        trial.num_images is None
        or request.engine != AUTO
        or request.wanted_precision in (*FAST, INT8)
        or any(EngineMemory(engine, trial).has_network() for engine in _others(loaded))
        or not _load(trial)
        or loaded.try_out(trial.pixels) is None
    ):
        return True
    price = _converting_seconds(trial)
    saved = _saved_seconds(loaded, trial.num_images - len(trial.pixels))
    earlier = find_lost_seconds(trial)
    if max(saved, earlier) > price:
        return True
    # With a converted network, the model would not have been loaded now.
    lost = trial.spent.load + _saved_seconds(loaded, trial.num_images)
    keep_lost_seconds(trial, earlier + lost)
    if earlier + lost > price:
        _keep_graph(trial, loaded)
    return False


def _keep_graph(trial: Trial, loaded: LoadedNetwork) -> None:
    """Keep the graph while the model is in memory: the next run converts it without loading it.

    That run, which has to convert, would else take longer than all others.
    """
    results = loaded.try_out(trial.pixels)
    assert results is not None
    if sum(rows.nbytes for rows in results.values()) > MOST_KEPT_BYTES:
        return
    with contextlib.suppress(NotConvertible), trial.spent.timing("convert"):
        graph = trial.backbone.freeze(trial.names)
        if graph is None or not isinstance(graph.content, bytes):
            return
        model = GraphModel(graph, trial.backbone.spec.input)
        for engine in _others(loaded):
            if graph.form in engine.forms:
                EngineMemory(engine, trial).keep_graph(KeptGraph(model, trial.pixels, results))
                return


def _load(trial: Trial) -> bool:
    """Load a model that is known from earlier; False where there is only a graph to convert."""
    if isinstance(trial.backbone, RememberedBackbone):
        with trial.spent.timing("load"):
            trial.backbone.load()
    return trial.backbone.is_loaded


def _converting_seconds(trial: Trial) -> float:
    parameters = [
        layer.parameters or 0 for layer in trial.backbone.features() if layer.name in trial.names
    ]
    return CONVERTING_SECONDS + CONVERTING_SECONDS_PER_MB * 4e-6 * max(parameters, default=0)


def _saved_seconds(loaded: LoadedNetwork, num_images: int) -> float:
    return num_images * loaded.seconds_per_image * (1 - 1 / USUAL_GAIN)


def _others(loaded: LoadedNetwork) -> Iterator[Engine]:
    for name in ENGINES:
        try:
            if name != loaded.engine:
                yield ENGINES[name]
        except AddOnError:
            continue


def measuring_seconds(trial: Trial, loaded: LoadedNetwork) -> float:
    """Return how long to measure each engine: a small part of what computing takes.

    Nothing where the trial has computed all images there are: what was measured could not be used.
    """
    if trial.num_images is None or not loaded.is_tried:
        return LONGEST
    if trial.num_images <= len(trial.pixels):
        return 0.0
    return min(LONGEST, MEASURED_SHARE * trial.num_images * loaded.seconds_per_image)
