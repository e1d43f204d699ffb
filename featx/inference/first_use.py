"""The first use of a model: what is worth doing for the number of images that there are."""

from __future__ import annotations

from collections.abc import Iterator

from featx.engines.engines import ENGINES, Engine
from featx.errors import AddOnError
from featx.inference.loaded import LoadedNetwork
from featx.inference.memory import EngineMemory
from featx.inference.request import AUTO, FAST, EngineRequest
from featx.inference.speed import LONGEST
from featx.inference.trial import Trial

CONVERTING_SECONDS, CONVERTING_SECONDS_PER_MB = 0.6, 0.012
"""What converting, compiling and keeping a network takes, for each MB of weights besides
(``benchmarks/LOG.md``)."""

USUAL_GAIN = 2.0
"""How much faster than the engine that loaded it another one mostly computes a network."""

MEASURED_SHARE = 0.03
"""The part of computing all images that measuring an engine may take."""


def is_worth_converting(trial: Trial, request: EngineRequest, loaded: LoadedNetwork) -> bool:
    """Whether another engine, its network converted first, is done sooner than the loaded one.

    Only of a model that is in memory for its first use: one that is known from earlier is used
    again, so that its network is worth keeping. The loaded engine computes the first images, by
    whose time the others are judged; nothing is computed twice.
    """
    if (
        trial.num_images is None
        or request.engine != AUTO
        or request.wanted_precision in FAST
        or not trial.backbone.is_loaded
        or any(EngineMemory(engine, trial).has_network() for engine in _others(loaded))
        or loaded.try_out(trial.pixels) is None
    ):
        return True
    parameters = [
        layer.parameters or 0 for layer in trial.backbone.features() if layer.name in trial.names
    ]
    megabytes = 4e-6 * max(parameters, default=0)
    left = trial.num_images - len(trial.pixels)
    gain = left * loaded.seconds_per_image * (1 - 1 / USUAL_GAIN)
    return gain > CONVERTING_SECONDS + CONVERTING_SECONDS_PER_MB * megabytes


def _others(loaded: LoadedNetwork) -> Iterator[Engine]:
    for name in ENGINES:
        try:
            if name != loaded.engine:
                yield ENGINES[name]
        except AddOnError:
            continue


def measuring_seconds(trial: Trial, loaded: LoadedNetwork) -> float:
    """Return how long to measure each engine: a small part of what computing takes.

    Of one image the time is not known: then one round is enough.
    """
    if trial.num_images is None or not loaded.is_tried:
        return LONGEST
    return min(LONGEST, MEASURED_SHARE * trial.num_images * loaded.seconds_per_image)
