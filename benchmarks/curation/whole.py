"""Time and memory of a whole audit and a whole map of many vectors, and what was found of it."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

import featx
from benchmarks.heads.features import Blocks, Shape, make_blocks, write_features

Result = TypeVar("Result")

WRONG, FAR = 0.02, 0.0005
"""Shares of the rows whose labels are exchanged, and that are moved away from all others."""

DISTANCE = 3.0
"""How far these are moved: in lengths of a vector that is centred, in a direction of their own."""

MAP_NEIGHBOURS = 15
"""Nearest images of which it is counted how many are of the same class, on a map."""

SAMPLE = 1_000
"""Images of which this is counted."""


@dataclass(frozen=True, slots=True)
class Planted:
    """What is in a store that was not there before.

    Attributes:
        wrong: Numbers of the rows whose labels were exchanged.
        far: Those that are unlike all others.
    """

    wrong: np.ndarray
    far: np.ndarray


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Attributes:
        seconds: Of wall time.
        processor: Of all cores together.
        memory: Bytes at the peak of the process.
    """

    seconds: float
    processor: float
    memory: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an audit.

    Attributes:
        cost: What it took.
        counts: Kind → findings.
        found: Kind → share of what was planted that is found.
        right: Kind → share of what is found that was planted.
    """

    cost: Cost
    counts: dict[str, int]
    found: dict[str, float]
    right: dict[str, float]


def plant(path: Path, shape: Shape, seed: int = 0) -> Planted:
    """Write a store in which some labels are wrong, and some vectors unlike all others."""
    random = np.random.default_rng(seed)
    order = random.permutation(shape.rows)
    wrong, far = np.split(order[: int((WRONG + FAR) * shape.rows)], [int(WRONG * shape.rows)])
    write_features(path, shape, _change(make_blocks(shape), shape, Planted(wrong, far)))
    return Planted(wrong, far)


def _change(blocks: Blocks, shape: Shape, planted: Planted) -> Blocks:
    random, start = np.random.default_rng(1), 0
    is_wrong, is_far = (np.zeros(shape.rows, bool) for _ in range(2))
    is_wrong[planted.wrong] = is_far[planted.far] = True
    for values, targets in blocks:
        rows = slice(start, start + len(values))
        changed = np.where(
            is_wrong[rows],
            (targets + random.integers(1, shape.classes, len(targets))) % shape.classes,
            targets,
        )
        away = random.normal(size=(int(is_far[rows].sum()), shape.width))
        length = float(np.linalg.norm(values - values.mean(axis=0), axis=1).mean())
        away *= DISTANCE * length / np.linalg.norm(away, axis=1, keepdims=True)
        values[is_far[rows]] += away.astype(np.float32)
        yield values, changed
        start += len(values)


def _time(action: Callable[[], Result]) -> tuple[Result, Cost]:
    started, used = time.perf_counter(), time.process_time()
    result = action()
    seconds, processor = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result, Cost(seconds, processor, peak)


def measure_audit(rows: int, width: int = 256) -> Outcome:
    """Audit a store of many rows, of as many classes as `--scale` has."""
    shape = Shape(rows, width, max(10, rows // 500))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.h5"
        planted = plant(path, shape)
        report, cost = _time(lambda: featx.audit(path, progress=False, verbose=True))
    found, right = {}, {}
    for kind, own in (("label", planted.wrong), ("outlier", planted.far)):
        keys = {f"{row:09d}.jpg" for row in own.tolist()}
        listed = {finding.key for finding in report.of_kind(kind)}
        found[kind] = len(keys & listed) / len(keys)
        right[kind] = len(keys & listed) / max(1, len(listed))
    return Outcome(cost, dict(report.counts), found, right)


def measure_map(
    rows: int, method: str | None, width: int = 256
) -> tuple[featx.MapReport, Cost, float]:
    """Map a store of many rows.

    Returns:
        The map, what it took, and which share of the nearest images of an image is of its class.
    """
    shape = Shape(rows, width, max(10, rows // 500))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.h5"
        write_features(path, shape)
        report, cost = _time(
            lambda: featx.map_features(path, method=method, progress=False, verbose=True)
        )
    return report, cost, _count_same(report)


def _count_same(report: featx.MapReport) -> float:
    from scipy.spatial import KDTree

    labels = np.array(report.labels)
    rows = np.random.default_rng(0).permutation(len(labels))[:SAMPLE]
    near = KDTree(report.positions).query(report.positions[rows], MAP_NEIGHBOURS + 1)[1]
    return float((labels[near] == labels[rows, None])[:, 1:].mean())
