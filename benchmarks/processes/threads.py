"""The stress of threads: programs whose first act is to extract in several of them."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from benchmarks.processes.guest import NETWORKS
from featx.testing import write_images
from featx.user_cache import CACHE_VARIABLE

ENGINES = ("tensorflow", "openvino")
THREADS = range(2, 9)
CACHES = ("cold", "warm")

LONGEST_SECONDS = 600
"""A program that takes longer hangs: with eight threads, TensorFlow traces eight networks."""

CLOSE = 1e-4
"""How far features may be from the first ones: threads share the work differently each time."""

_FOREIGN_LINE = re.compile(
    r"WARNING: All log messages before absl|[IWEF]\d{4} |\d{4}-\d\d-\d\d .*: [IWE] "
    r"|To enable the following instructions:"
)
"""What TensorFlow writes when it is imported, before it reads its log level."""

Run = tuple[str, str, int]
"""An engine, a state of the cache, a number of threads."""


@dataclass
class Line:
    """A line of the table: runs of one engine with one state of the cache.

    Attributes:
        runs: How many there were.
        printed: Lines that the programs printed meanwhile.
        violations: What was wrong.
        seconds: Of all runs.
    """

    engine: str
    cache: str
    runs: int = 0
    printed: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def list_runs(count: int) -> list[Run]:
    """Return `count` runs: all combinations, again and again, in an order that mixes them."""
    every = [(engine, cache, n) for n in THREADS for cache in CACHES for engine in ENGINES]
    return list(itertools.islice(itertools.cycle(every), count))


def stress(runs: list[Run], folder: Path) -> Iterator[Line]:
    """Run programs one after the other; yield the line of the table after each.

    Args:
        runs: The runs.
        folder: An empty folder, or one with another network in the place of the second one.
    """
    write_images(12, folder / "images", size=(40, 30))
    if not (folder / NETWORKS[1]).exists():
        _write_network(folder / NETWORKS[1])
    lines: dict[tuple[str, str], Line] = {}
    expected: dict[tuple[str, str], np.ndarray] = {}
    for engine, cache, threads in runs:
        line = lines.setdefault((engine, cache), Line(engine, cache))
        began = time.monotonic()
        facts, found = _run(engine, cache, threads, folder)
        line.seconds += time.monotonic() - began
        line.runs += 1
        line.printed += 4 * facts.get("printed", 0)
        if not found:
            found = list(_compare_features(folder, engine, threads, expected))
        line.violations += [f"{engine}, {cache} cache, {threads} threads: {text}" for text in found]
        yield line


def _write_network(path: Path) -> None:
    code = (
        "import sys, keras; L = keras.layers; keras.utils.set_random_seed(1); "
        "keras.Sequential([keras.Input((24, 24, 3)), L.Rescaling(1 / 255), L.Conv2D(8, 3), "
        "L.BatchNormalization(), L.ReLU(), L.GlobalAveragePooling2D()]).save(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True)


def _run(engine: str, cache: str, threads: int, folder: Path) -> tuple[dict[str, int], list[str]]:
    """Run one program; return its facts, and what was wrong."""
    cache_folder = folder / "caches" / cache
    if cache == "cold":
        shutil.rmtree(cache_folder, ignore_errors=True)
    (folder / "changes.json").unlink(missing_ok=True)
    for store in folder.glob("*.h5"):
        store.unlink()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TF_")}
    try:
        result = subprocess.run(
            [sys.executable, "-m", "benchmarks.processes.guest", engine, str(threads), folder],
            env=environment | {CACHE_VARIABLE: str(cache_folder)},
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, ["hangs"]
    if result.returncode != 0:
        return {}, [f"exit status {result.returncode}: {result.stderr[-500:]}"]
    facts = json.loads((folder / "changes.json").read_text(encoding="utf-8"))
    found = [f"{name} changed: {both}" for name, both in facts["changed"].items()]
    found += facts["errors"]
    for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
        found += _check_output(name, text, facts["printed"])
    return facts, found


def _check_output(name: str, text: str, count: int) -> Iterator[str]:
    """Yield what is wrong with the lines that a program printed: each once, and in order."""
    lines = text.splitlines()
    for kind in ("Python", "descriptor"):
        own = [line for line in lines if line.startswith(f"{kind} ")]
        if own != [f"{kind} {number}" for number in range(count)]:
            yield f"{name} has {len(own)} of {count} lines of {kind}, or in another order"
    others = [line for line in lines if not line.startswith(("Python ", "descriptor "))]
    if name == "stderr":
        others = [line for line in others if not _FOREIGN_LINE.match(line)]
    if others:
        yield f"{name} has lines of others: {others[:5]}"


def _compare_features(
    folder: Path, engine: str, threads: int, expected: dict[tuple[str, str], np.ndarray]
) -> Iterator[str]:
    """Yield what is wrong with the features of each thread, compared with the first ones."""
    for number in range(threads):
        network = NETWORKS[number % len(NETWORKS)]
        with h5py.File(folder / f"{number}.h5") as file:
            (features,) = (values[...] for values in file["features"].values())
        first = expected.setdefault((engine, network), features)
        if features.shape != first.shape or not np.allclose(features, first, atol=CLOSE):
            yield f"features of {network} differ in thread {number}"
