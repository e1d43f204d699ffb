"""Concurrency: several writers and two readers on one store, while pictures come and change."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import featx.store.lock
from benchmarks.stress.children import run_parallel
from benchmarks.stress.pictures import is_true, write_picture
from benchmarks.stress.results import Tally
from benchmarks.stress.scenarios import Scenario, run_extract
from benchmarks.stress.state import read_finished, read_rows
from featx.errors import StoreError, StoreLocked, StoreNotFound
from featx.store import open_store

NUM_READERS = 2
NUM_PICTURES = 120
NUM_VERSIONS = 4

Answer = tuple[Counter[str], list[str]]


def stress(work: Path, seed: int, writers: int, seconds: float) -> Tally:
    """Let writers and readers work on one store; compare it with a fresh one at the end.

    Half of the writers wait for each other, the others are refused; half make views.
    """
    began = time.monotonic()
    tally = Tally("concurrency", f"{writers} writers, {NUM_READERS} readers")
    box, pool = work / "box", work / "pool"
    for version in range(NUM_VERSIONS):  # Here, so that all processes know the truth.
        for number in range(NUM_PICTURES):
            path = pool / str(version) / f"{number}.png"
            write_picture(path, number, version, mtime=1000 * (version + 1))
    (box / "photos").mkdir(parents=True)
    for number in range(4):
        os.link(pool / f"0/{number}.png", box / f"photos/{number}.png")

    end = time.time() + seconds
    tasks: list[Callable[[], Answer]] = [
        partial(_write, box, pool, random.Random(f"{seed} {number}"), number, end)
        for number in range(writers)
    ]
    tasks += [partial(_read, box / "features.h5", end) for _ in range(NUM_READERS)]
    pause = featx.store.lock.WAIT_SECONDS
    featx.store.lock.WAIT_SECONDS = 0.01
    try:
        answers = run_parallel(tasks, len(tasks))
    finally:
        featx.store.lock.WAIT_SECONDS = pause
    for figures, violations in answers:
        tally.figures += figures
        tally.violations += violations
    tally.runs = tally.figures["extractions"] + tally.figures["reads"]
    tally.violations += _compare(box)
    tally.seconds = time.monotonic() - began
    return tally


def _write(box: Path, pool: Path, chance: random.Random, number: int, end: float) -> Answer:
    figures: Counter[str] = Counter()
    violations = []
    waits = number % 2 == 0
    scenario = Scenario("", _nothing, _nothing)
    while time.time() < end:
        for _ in range(chance.randint(0, 3)):
            _put(box, pool, chance)
        options: dict[str, Any] = {"single_file_limit": 0 if chance.random() < 0.7 else 10**9}
        try:
            run_extract(box, scenario, wait=waits, **options)
            figures["extractions"] += 1
        except StoreLocked as error:
            figures["refusals"] += 1
            if waits:
                violations.append(f"one that waits was refused: {error}")
            time.sleep(chance.uniform(0, 0.05))
        except Exception as error:
            violations.append(f"a writer ended with {error!r}")
    return figures, violations


def _nothing(box: Path, scenario: Scenario) -> None:
    return None


def _put(box: Path, pool: Path, chance: random.Random) -> None:
    """Add a picture, or change one: another version, all at once."""
    name = f"{chance.randrange(NUM_PICTURES)}.png"
    temporary = box.parent / f"{os.getpid()}.tmp"
    shutil.copyfile(pool / str(chance.randrange(NUM_VERSIONS)) / name, temporary)
    # A time of its own: were an earlier version put back with its old time while another one is
    # read, the row would be of the one and its time of the other, and nobody could tell.
    now = time.time_ns()
    os.utime(temporary, ns=(now, now))
    os.replace(temporary, box / "photos" / name)


def _read(path: Path, end: float) -> Answer:
    figures: Counter[str] = Counter()
    violations = []
    committed: set[str] = set()
    while time.time() < end:
        try:
            with open_store(path) as store:
                keys = store.keys
                contents = [content.tobytes() for content in store.content_hash]
                values = {layer: store.features(layer)[:] for layer in store.layers}
        except StoreNotFound as error:
            figures["before the first commit"] += 1
            if committed:
                violations.append(f"the store was gone: {error}")
            continue
        except StoreError as error:
            figures["replaced while read"] += 1
            if "replaced by a newer version" not in str(error):
                violations.append(f"a reader ended with {error!r}")
            continue
        except Exception as error:
            violations.append(f"a reader ended with {error!r}")
            continue
        figures["reads"] += 1
        for layer, array in values.items():
            for key, content, value in zip(keys, contents, array, strict=True):
                if not is_true(content, layer, value):
                    violations.append(f"a false value of {layer} of {key}")
        if not committed <= set(keys):
            violations.append(f"keys are lost: {sorted(committed - set(keys))}")
        committed = set(keys)
    return figures, violations


def _compare(box: Path) -> list[str]:
    """Finish the store, and compare it with a fresh one but for the order of its rows."""
    scenario = Scenario("", _nothing, _nothing)
    run_extract(box, scenario)
    run_extract(box, scenario, "fresh.h5")
    rows, fresh = (sorted(read_rows(box / name)[:-1]) for name in ("features.h5", "fresh.h5"))
    different = [(a[:4], b[:4]) for a, b in zip(rows, fresh, strict=False) if a != b]
    found = [f"at the end, the store differs from a fresh one: {pair}" for pair in different]
    if len(rows) != len(fresh):
        found.append(f"at the end, {len(rows)} rows instead of {len(fresh)}")
    files = {name for name in read_finished(box).files if not name.startswith("photos")}
    allowed = {"features.h5", "fresh.h5", "features.h5.parts", "features.h5.parts/lock"}
    return found + [f"left over: {name}" for name in sorted(files - allowed)]
