"""Disturb featx in every way that a bad day has, and check that it keeps its promise.

    python -m benchmarks.stress kills|full|faults|powercut|concurrency|all

The promise: what was committed is never lost and never half there; running the command again
finishes the job. Prints its seed, what was violated, and a table. Exit status 1 if anything was.
Needs Linux: it forks, kills, and fills a small disk in memory.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from threadpoolctl import threadpool_limits

from benchmarks.stress import concurrency, faults, full, kills, powercut
from benchmarks.stress.children import run_parallel
from benchmarks.stress.results import Tally, show
from benchmarks.stress.scenarios import small_files

PARTS = ("kills", "full", "faults", "powercut", "concurrency")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stress", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("part", nargs="?", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--seed", type=int, default=None, help="another one at each run")
    parser.add_argument("--count", type=int, default=300, help="random kills; a third: full disks")
    parser.add_argument("--seconds", type=float, default=120, help="of concurrency, for 2 and 4")
    parser.add_argument("--step", type=int, default=1, help="only every n-th operation or prefix")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--only", default="", help="only scenarios with this in their name")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(f"seed {seed}", highlight=False)
    chosen = PARTS if options.part == "all" else (options.part,)
    # Children are forked, and must not find the threads of a library busy.
    with tempfile.TemporaryDirectory() as folder, small_files(), threadpool_limits(1):
        tallies = run(chosen, Path(folder), seed, options)
    show(tallies, console)
    return int(any(tally.violations for tally in tallies))


def run(
    chosen: tuple[str, ...], folder: Path, seed: int, options: argparse.Namespace
) -> list[Tally]:
    """Run parts of the stress and return the lines of the table."""
    tallies: list[Tally] = []
    for part in chosen:
        work = folder / part
        if part == "concurrency":
            for writers in (2, 4):
                folder = work / str(writers)
                tallies += [concurrency.stress(folder, seed, writers, options.seconds)]
            continue
        if part == "kills":
            tasks = kills.tasks(work, seed, options.count, options.step)
        elif part == "full":
            tasks = full.tasks(work, seed, options.count // 3)
        elif part == "faults":
            tasks = faults.tasks(work, options.step)
        else:
            tasks = powercut.tasks(work, seed, options.step)
        wanted = [task for task in tasks if options.only in task.args[0].name]  # type: ignore[attr-defined]
        tallies += run_parallel(wanted, options.jobs, announce)
    return tallies


def announce(tally: Tally) -> None:
    """Say on stderr how far it is: all of it takes many minutes."""
    found = f"{tally.runs} runs, {len(tally.violations)} violations"
    print(f"{tally.part} {tally.name}: {found}, {tally.seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
