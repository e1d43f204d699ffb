"""Kills: SIGKILL at random instants, and before and after every durable operation."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.stress.bench import Bench
from benchmarks.stress.children import run_child
from benchmarks.stress.hooks import KillAt, hooked
from benchmarks.stress.results import Tally
from benchmarks.stress.scenarios import Scenario, all_scenarios

MOST_KILLS = 3
"""Kills in a row before the operation is left alone."""

RANDOM_SIZE = 24
"""Pictures where the instant is random."""


def random_kills(scenario: Scenario, work: Path, seed: int, count: int) -> Tally:
    """Kill the operation `count` times, after random delays."""
    began, tally = time.monotonic(), Tally("kills", f"{scenario.name}: random")
    bench, chance = Bench(scenario, work, tally), random.Random(f"{seed} {scenario.name}")
    longest = statistics.median(_duration(bench) for _ in range(3))
    while tally.figures["killed"] < count and tally.runs < 4 * count:
        bench.reset()
        before = bench.before
        for kill in range(1, chance.randint(1, MOST_KILLS) + 1):
            tally.runs += 1
            delay = chance.uniform(0, 1.1 * longest)
            outcome = run_child(bench.command, kill_after=delay)
            tally.figures["killed"] += bool(outcome.signal)
            where = f"kill {kill} after {delay * 1000:.0f} ms"
            if outcome.error is not None:
                bench.violation(where, repr(outcome.error))
            before = bench.look(before, where)
        bench.finish(before, where)
    tally.seconds = time.monotonic() - began
    return tally


def _duration(bench: Bench) -> float:
    bench.reset()
    began = time.monotonic()
    run_child(bench.command)
    return time.monotonic() - began


def kills_at_each(scenario: Scenario, work: Path, step: int = 1) -> Tally:
    """Kill the operation before and after each of its durable operations."""
    began, tally = time.monotonic(), Tally("kills", f"{scenario.name}: each operation")
    bench = Bench(scenario, work, tally)
    for number in range(1, bench.operations + 1, step):
        for after in (False, True):
            bench.reset()
            outcome = run_child(partial(_killed_at, bench, number, after))
            tally.runs += 1
            tally.figures["killed"] += bool(outcome.signal)
            where = f"kill {'after' if after else 'before'} operation {number}"
            if outcome.error is not None:
                bench.violation(where, repr(outcome.error))
            bench.finish(bench.look(bench.before, where), where)
    tally.seconds = time.monotonic() - began
    return tally


def _killed_at(bench: Bench, number: int, after: bool) -> None:
    with hooked(bench.box, KillAt(number, after)):
        bench.command()


def tasks(work: Path, seed: int, count: int, step: int = 1) -> list[Callable[[], Tally]]:
    """Return the work to be done: `count` random kills in all, and one at each operation."""
    large, small = all_scenarios(RANDOM_SIZE), all_scenarios()
    each = -(-count // len(large)) if count else 0
    made: list[Callable[[], Tally]] = []
    for number, scenario in enumerate(large):
        if each:
            folder = work / f"random-{number}"
            made.append(partial(random_kills, scenario, folder, seed, each))
    for number, scenario in enumerate(small):
        made.append(partial(kills_at_each, scenario, work / f"each-{number}", step))
    return made
