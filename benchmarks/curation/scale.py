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

CHECKED = 5_000
"""Rows that are compared with all others, one block after the other, without featx's search."""

BLOCK = 4_096
"""Rows that they are compared with at a time."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What finding copies among N rows took, and which were found.

    Attributes:
        rows: N.
        seconds: Without making the vectors.
        processor: Seconds of all cores together.
        memory: Bytes at the peak of the process, for each byte of vectors.
        threshold: The similarity that was chosen.
        found: Share of the planted copies that were found.
        right: Share of the pairs that were planted.
        told: The recall that featx tells; None if all pairs were compared.
        checked: Share of the pairs of `CHECKED` rows, found by comparing them with all, that featx
            found.
    """

    rows: int
    seconds: float
    processor: float
    memory: float
    threshold: float
    found: float
    right: float
    told: float | None
    checked: float


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
    started, used = time.perf_counter(), time.process_time()
    found = find_near_pairs(values, np.arange(rows), None, featx.Listener())
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    pairs = {tuple(pair) for pair in found.rows.tolist()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Scale(
        rows,
        seconds,
        processor,
        peak / values.nbytes,
        found.threshold.similarity,
        len(pairs & planted) / len(planted),
        len(pairs & planted) / max(1, len(pairs)),
        found.recall,
        _check(values, found.threshold.similarity, pairs),
    )


def _check(values: np.ndarray, similarity: float, pairs: set[tuple[int, ...]]) -> float:
    """Return the share of the pairs of some rows that was found, by comparing them with all."""
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    rows = np.sort(np.random.default_rng(1).permutation(len(values))[:CHECKED])
    wanted = set()
    for start in range(0, len(values), BLOCK):
        near = values[rows] @ values[start : start + BLOCK].T >= similarity
        wanted |= {
            tuple(sorted((int(rows[line]), start + int(column))))
            for line, column in zip(*np.nonzero(near), strict=True)
            if rows[line] != start + column
        }
    return len(wanted & pairs) / max(1, len(wanted))
