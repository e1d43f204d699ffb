"""Time and memory of finding copies among many vectors, and how many are found."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import numpy as np

import featx
from benchmarks.heads.features import Shape, make_blocks
from featx.curation.pairs import find_near_pairs

COPIED = 0.01
"""Share of the rows that are changed copies of others."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What finding copies among N rows took, and which were found.

    Attributes:
        rows: N.
        seconds: Without making the vectors.
        memory: Bytes at the peak of the process, for each byte of vectors.
        threshold: The similarity that was chosen.
        found: Share of the planted copies that were found.
        right: Share of the pairs that were planted.
        told: The recall that featx tells; None if all pairs were compared.
    """

    rows: int
    seconds: float
    memory: float
    threshold: float
    found: float
    right: float
    told: float | None


def measure(rows: int, width: int = 256) -> Scale:
    """Make vectors of many classes, plant copies, and look for them."""
    shape = Shape(rows, width, max(10, rows // 500))
    values = np.empty((rows, width), np.float32)
    start = 0
    for block, _ in make_blocks(shape):
        values[start : start + len(block)] = block
        start += len(block)
    random = np.random.default_rng(0)
    chosen = random.permutation(rows)[: 2 * int(COPIED * rows)].reshape(2, -1)
    noise = random.normal(size=(chosen.shape[1], width)).astype(np.float32)
    values[chosen[1]] = values[chosen[0]] + 0.03 * values.std() * noise
    planted = {tuple(sorted(pair)) for pair in chosen.T.tolist()}
    started = time.perf_counter()
    found = find_near_pairs(values, np.arange(rows), None, featx.Listener())
    seconds = time.perf_counter() - started
    pairs = {tuple(pair) for pair in found.rows.tolist()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Scale(
        rows,
        seconds,
        peak / values.nbytes,
        found.threshold.similarity,
        len(pairs & planted) / len(planted),
        len(pairs & planted) / max(1, len(pairs)),
        found.recall,
    )
