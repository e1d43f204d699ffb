"""Which of several networks is the fastest on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from featx.engines.engines import Network
from featx.errors import ModelError
from featx.inference.memory import find_speeds, keep_speeds, speeds_key
from featx.inference.trial import FIRST_BATCH, Choice, Trial
from featx.machine import has_gpu

CLEARLY_FASTER = 1.15
"""A candidate replaces one before it only if it is that much faster: what else happened to run on
the machine during the comparison must not decide for good."""

LONGEST = 0.5
"""Most seconds for measuring a network."""

NUM_PIXELS = 4
"""Images for measuring speeds; slow networks take some tenths of a second for four."""


def choose_fastest(
    trial: Trial, opened: Sequence[Choice], loaded: Choice | None, seconds: float = LONGEST
) -> Choice:
    """Choose the fastest candidate by what was measured on this machine, now or earlier.

    A model that can be run without loading it, on a machine without a GPU, is not loaded to be
    measured: loading alone would take longer than most searches.

    Args:
        trial: The layers and images.
        opened: Candidates, at least one.
        loaded: The backbone as it was loaded; None if it is no candidate.
        seconds: How long to measure each.

    Returns:
        The chosen one, with how its speed compares in its facts.
    """
    candidates = [*opened, *([] if loaded is None else [loaded])]
    speeds = find_speeds(speeds_key(trial, candidates), candidates)
    # If the first batch is not full, there are no further images.
    is_worth_loading = speeds is not None and trial.batch_size >= FIRST_BATCH
    if loaded is not None and not (trial.backbone.is_loaded or has_gpu() or is_worth_loading):
        candidates = list(opened)
        speeds = find_speeds(speeds_key(trial, candidates), candidates)
    if len(candidates) > 1 and speeds is None:
        trial.listener.note("comparing engines on the first images, once for this machine")
        candidates = [one for one in candidates if _computes(one, trial.pixels[:NUM_PIXELS])]
    if len(candidates) == 1:
        return candidates[0]
    return _pick(candidates, speeds or _measure(trial, candidates, seconds))


def _computes(candidate: Choice, pixels: np.ndarray) -> bool:
    """Whether a candidate can compute here; loads a model that is not in memory."""
    if candidate.results is None and not candidate.is_warm:
        try:
            candidate.network(pixels)
        except ModelError:
            return False
    return True


def _pick(candidates: Sequence[Choice], speeds: Mapping[str, float]) -> Choice:
    """Return the fastest, those that come first being preferred, and note how it compares."""
    best, second = candidates[0], candidates[1]
    for candidate in candidates[1:]:
        if speeds[candidate.engine] >= CLEARLY_FASTER * speeds[best.engine]:
            best, second = candidate, best
        elif speeds[candidate.engine] > speeds[second.engine]:
            second = candidate
    # Recorded as by featx 0.1: the ratio of the other engine to TensorFlow, whichever is taken.
    first, last = (second, best) if best.engine == "tensorflow" else (best, second)
    ratio = round(speeds[first.engine] / speeds[last.engine], 3)
    return replace(
        best, facts=best.facts | {"speed_ratio": ratio, "compared_engine": second.engine}
    )


def _measure(trial: Trial, candidates: Sequence[Choice], seconds: float) -> dict[str, float]:
    """Measure images per second of each engine, and remember them."""
    some = trial.pixels[:NUM_PIXELS]
    runs = []
    for candidate in candidates:
        pixels = some
        if candidate.results is None and has_gpu():  # A GPU is only fast with full batches.
            pixels = np.resize(some, (candidate.network.batch_size, *some.shape[1:]))
        runs.append((candidate.network, pixels))
    is_warm = all(one.is_warm or one.results is not None for one in candidates)
    speeds = compare_speeds(runs, seconds, is_warm=is_warm)
    by_engine = {one.engine: speed for one, speed in zip(candidates, speeds, strict=True)}
    keep_speeds(speeds_key(trial, candidates), by_engine)
    return by_engine


def compare_speeds(
    runs: Sequence[tuple[Network, np.ndarray]], seconds: float = LONGEST, *, is_warm: bool = False
) -> list[float]:
    """Measure images per second of several networks: the best of rounds in turn.

    In turn, and the best: what else runs on the machine then slows down all alike, or none.

    Args:
        runs: Networks, and one batch for each.
        seconds: How long to go on with each. At least two rounds are counted, or one that takes as
            long.
        is_warm: Whether all have computed before: else a first round does not count.
    """
    best = [math.inf] * len(runs)
    spent = [0.0] * len(runs)

    def compute(network: Network, pixels: np.ndarray) -> None:
        network(pixels)  # Results may be large, and are not kept.

    with ThreadPoolExecutor(max(network.concurrency for network, _ in runs)) as pool:
        for number in range(50):
            for index, (network, pixels) in enumerate(runs):
                if spent[index] > seconds and (is_warm or number > 2):
                    continue
                start = time.perf_counter()
                count = network.concurrency
                list(pool.map(compute, [network] * count, [pixels] * count))
                elapsed = time.perf_counter() - start
                if number or is_warm:  # In the first round, kernels are made and memory is taken.
                    best[index] = min(best[index], elapsed)
                    spent[index] += elapsed
    return [
        len(pixels) * network.concurrency / elapsed
        for (network, pixels), elapsed in zip(runs, best, strict=True)
    ]
