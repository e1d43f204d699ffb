"""Power cuts: from every prefix of a recorded run, the folders that a disk may then hold."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.stress.bench import Bench
from benchmarks.stress.children import run_child
from benchmarks.stress.disk import Disk, Event, Recorder, copy_times, prefixes
from benchmarks.stress.hooks import Operation, hooked
from benchmarks.stress.results import Tally
from benchmarks.stress.scenarios import Scenario, all_scenarios
from benchmarks.stress.state import read_committed

VARIANTS = (
    ("all", "absent"),
    ("all", "zeros"),
    ("all", "cut"),
    ("all", "garbage"),
    ("first", "mixed"),
    ("some", "mixed"),
    ("some", "whole"),
)
"""Beside what is on the disk for certain: changes of names, and content, that may be there."""


NAME_CHANGES = ("replace", "link", "mkdir")
"""Operations behind which a kill leaves a name that nobody has flushed."""


def power_cuts(
    scenario: Scenario, work: Path, seed: int, step: int = 1, *, killed: bool = False
) -> Tally:
    """Cut the power at every prefix of a run; check what is there, and run again.

    Args:
        scenario: The operation.
        work: A folder to work in.
        seed: For random choices.
        step: Only every n-th prefix.
        killed: Record runs that come after one which was killed behind a change of names: what the
            killed one had not flushed is still not safe.
    """
    began = time.monotonic()
    tally = Tally("powercut", scenario.name + (" after a kill" if killed else ""))
    bench, chance = Bench(scenario, work, tally), random.Random(f"{seed} {scenario.name}")
    if not killed:
        cut_each_prefix(bench, record(bench), chance, step)
    else:
        events = record(bench)
        changed = [n for n, e in enumerate(events, 1) if e.operation.name in NAME_CHANGES]
        for number in changed[::step]:
            first, second = _record_killed(bench, number)
            cut_each_prefix(bench, first + second, chance, 2 * step, start=len(first))
    tally.seconds = time.monotonic() - began
    return tally


def record(bench: Bench) -> list[Event]:
    """Run the operation undisturbed and return what it did."""
    bench.reset()
    recorder = Recorder()
    with hooked(bench.box, recorder):
        bench.command()
    return recorder.events


def _record_killed(bench: Bench, number: int) -> tuple[list[Event], list[Event]]:
    """Return what a run did that was killed behind its n-th event, and what the next one did."""
    bench.reset()
    trail = bench.box.parent / "trail"
    trail.mkdir(exist_ok=True)
    outcome = run_child(partial(_leave_trail, bench, number, trail))
    assert outcome.signal, outcome
    first: list[Event] = pickle.loads((trail / "events").read_bytes())
    recorder = Recorder()
    with hooked(bench.box, recorder):
        bench.command()
    return first, recorder.events


def _leave_trail(bench: Bench, number: int, trail: Path) -> None:
    recorder = Recorder()

    def hook(operation: Operation, after: bool) -> None:
        recorder(operation, after)
        if after and len(recorder.events) == number:
            (trail / "events").write_bytes(pickle.dumps(recorder.events))
            os.kill(os.getpid(), signal.SIGKILL)

    with hooked(bench.box, hook):
        bench.command()


def cut_each_prefix(
    bench: Bench, events: list[Event], chance: random.Random, step: int = 1, *, start: int = 0
) -> None:
    """Cut the power at prefixes of what a run did, from `start` on."""
    seen: set[bytes] = set()
    for number in prefixes(events, step):
        if number < start:
            continue
        disk = Disk(bench.box, bench.template)
        for event in events[:number]:
            disk.apply(event)
        disk.foresee(events[number:])
        bench.tally.figures["prefixes"] += 1
        _clear(bench.box)
        disk.write(bench.box, chance, "reported", "absent")
        copy_times(bench.template, bench.box)
        where = f"power cut after {number} of {len(events)}"
        certain = read_committed(bench.box, damaged=bench.scenario.damaged)
        for text in certain.problems:
            bench.violation(where, text)
        for names, content in (("none", "absent"), *VARIANTS):
            _clear(bench.box)
            disk.write(bench.box, chance, names, content)
            state = _fingerprint(bench.box)
            if state in seen:
                bench.tally.figures["seen before"] += 1
                continue
            seen.add(state)
            copy_times(bench.template, bench.box)
            bench.tally.runs += 1
            case = f"{where}, {names} names, content {content}"
            bench.finish(bench.look(certain, case), case, fork=False)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _fingerprint(folder: Path) -> bytes:
    """Return a hash of all that a folder holds."""
    digest = hashlib.blake2b()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path}\0".encode())
        if path.is_file():
            digest.update(hashlib.blake2b(path.read_bytes()).digest())
    return digest.digest()


def tasks(work: Path, seed: int, step: int = 1) -> list[Callable[[], Tally]]:
    """Return the work to be done."""
    made: list[Callable[[], Tally]] = []
    for number, scenario in enumerate(all_scenarios()):
        made.append(partial(power_cuts, scenario, work / str(number), seed, step))
        if scenario.name.startswith(("extract first", "extract changed", "pack", "merge into")):
            folder = work / f"killed-{number}"
            made.append(partial(power_cuts, scenario, folder, seed, step, killed=True))
    return made
