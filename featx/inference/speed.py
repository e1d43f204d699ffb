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
from featx.inference.memory import KnownSpeeds, find_speeds, keep_speeds, speeds_key
from featx.inference.trial import FIRST_BATCH, Choice, Trial
from featx.machine import has_gpu
from featx.models.remembered import RememberedBackbone

CLEARLY_FASTER = 1.15
"""A candidate replaces one before it only if it is that much faster: what else happened to run on
the machine during the comparison must not decide for good."""

DOUBTFUL = 1.3
"""Closer than that to the ratio at which another engine would be taken, other load may have
decided: what one run measured is measured once more when the model is in memory again."""

LONGEST = 0.5
"""Most seconds for measuring a network."""

LONG_RUN = 120.0
"""Seconds of computing for which a known model that was never measured is loaded to be measured,
which takes 3 to 6."""

NUM_PIXELS = 4
"""Images for measuring speeds; slow networks take some tenths of a second for four."""


def choose_fastest(
    trial: Trial, opened: Sequence[Choice], loaded: Choice | None, seconds: float = LONGEST
) -> Choice:
    """Choose the fastest candidate by what was measured on this machine, now or earlier.

    A model that can be run without loading it, on a machine without a GPU, is not loaded to be
    measured but for a long run: loading alone would take longer than most searches.

    Args:
        trial: The layers and images.
        opened: Candidates, at least one.
        loaded: The backbone as it was loaded; None if it is no candidate.
        seconds: How long to measure each; 0 to take the first where nothing is known.

    Returns:
        The chosen one, with how its speed compares in its facts.
    """
    candidates = [*opened, *([] if loaded is None else [loaded])]
    known = find_speeds(speeds_key(trial, candidates), candidates)
    is_loaded = trial.backbone.is_loaded or has_gpu()
    # If the first batch is not full, there are no further images.
    is_worth_loading = trial.batch_size >= FIRST_BATCH and (
        known is not None or _is_long(trial, opened[0])
    )
    if loaded is not None and not (is_loaded or is_worth_loading):
        candidates = list(opened)
        known = find_speeds(speeds_key(trial, candidates), candidates)
    if len(candidates) == 1:
        return candidates[0]
    if known is not None and not _is_measured_again(candidates, known, is_loaded=is_loaded):
        return _pick(candidates, known.by_engine)
    if not seconds:
        return candidates[0] if known is None else _pick(candidates, known.by_engine)
    often = "once for this machine" if known is None else "once more: they took about the same time"
    trial.listener.note(f"comparing engines on the first images, {often}")
    candidates = [one for one in candidates if _computes(one, trial.pixels[:NUM_PIXELS])]
    if len(candidates) == 1:
        return candidates[0]
    return _pick(candidates, _measure(trial, candidates, seconds).by_engine)


def _is_long(trial: Trial, opened: Choice) -> bool:
    """Whether computing takes so long that loading a known model, to measure it, does not count."""
    if trial.num_images is None or not isinstance(trial.backbone, RememberedBackbone):
        return False
    seconds = opened.seconds / len(trial.pixels) / opened.network.concurrency
    return trial.num_images * seconds > LONG_RUN


def _is_measured_again(
    candidates: Sequence[Choice], known: KnownSpeeds, *, is_loaded: bool
) -> bool:
    """Whether a decision is doubtful, and can be confirmed without loading a model for it.

    One for the loaded model loads it anyway.
    """
    if known.times > 1:
        return False
    chosen = _pick(candidates, known.by_engine)
    first, *others = (known.by_engine[one.engine] for one in candidates)
    distance = max(others) / (first * CLEARLY_FASTER)
    is_doubtful = 1 / DOUBTFUL < distance < DOUBTFUL
    return is_doubtful and (is_loaded or chosen.engine == candidates[-1].engine)


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


def _measure(trial: Trial, candidates: Sequence[Choice], seconds: float) -> KnownSpeeds:
    """Measure images per second of each engine, and remember them with what is known of them."""
    some = trial.pixels[:NUM_PIXELS]
    runs = []
    for candidate in candidates:
        pixels = some
        if candidate.results is None and has_gpu():  # A GPU is only fast with full batches.
            pixels = np.resize(some, (candidate.network.batch_size, *some.shape[1:]))
        runs.append((candidate.network, pixels))
    is_warm = all(one.is_warm or one.results is not None for one in candidates)
    # Of a slow network, the trial has measured as much as is done here.
    taken = [0.0 if has_gpu() else one.seconds_per_image * len(some) for one in candidates]
    speeds = compare_speeds(runs, seconds, is_warm=is_warm, taken=taken)
    measured = {one.engine: speed for one, speed in zip(candidates, speeds, strict=True)}
    key = speeds_key(trial, candidates)
    earlier = find_speeds(key, candidates)
    known = KnownSpeeds(measured) if earlier is None else earlier.add(measured)
    keep_speeds(key, known)
    return known


def compare_speeds(
    runs: Sequence[tuple[Network, np.ndarray]],
    seconds: float = LONGEST,
    *,
    is_warm: bool = False,
    taken: Sequence[float] = (),
) -> list[float]:
    """Measure images per second of several networks: the best of rounds in turn.

    In turn, and the best: what else runs on the machine then slows down all alike, or none.

    Args:
        runs: Networks, and one batch for each.
        seconds: How long to go on with each. At least two rounds are counted, or one that takes
            four times as long.
        is_warm: Whether all have computed before: else a first round does not count.
        taken: Seconds that each is known to take, 0 where that is not known; one that takes longer
            than `seconds` is not run.
    """
    least = 1 if is_warm else 2  # The number of the second round that counts.
    taken = taken or [0.0] * len(runs)
    is_known = [already > seconds for already in taken]
    best = [already if known else math.inf for already, known in zip(taken, is_known, strict=True)]
    spent = [0.0] * len(runs)

    def compute(network: Network, pixels: np.ndarray) -> None:
        network(pixels)  # Results may be large, and are not kept.

    with ThreadPoolExecutor(max(network.concurrency for network, _ in runs)) as pool:
        for number in range(50):
            for index, (network, pixels) in enumerate(runs):
                enough = seconds if number > least else 4 * seconds
                if is_known[index] or spent[index] > enough:
                    continue
                start = time.perf_counter()
                count = network.concurrency
                list(pool.map(compute, [network] * count, [pixels] * count))
                elapsed = time.perf_counter() - start
                if number or is_warm:  # In the first round, kernels are made and memory is taken.
                    best[index] = min(best[index], elapsed)
                    spent[index] += elapsed
    return [
        len(pixels) * (1 if known else network.concurrency) / elapsed
        for (network, pixels), elapsed, known in zip(runs, best, is_known, strict=True)
    ]
