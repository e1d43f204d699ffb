"""Full disk: the space of a small disk in memory ends at random points of an operation."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.stress.bench import Bench
from benchmarks.stress.children import run_child
from benchmarks.stress.faults import check_ending
from benchmarks.stress.hooks import Counter, Operation, hooked
from benchmarks.stress.results import Tally
from benchmarks.stress.scenarios import Scenario, all_scenarios

DISK_BYTES = 8 << 20
PAGE = 4096
"""What a disk in memory gives out at a time."""

NAMES = ("extract", "pack", "merge", "index", "search")


class Peak(Counter):
    """Notes how much room is left at the fullest instant."""

    def __init__(self, disk: Path) -> None:
        super().__init__()
        self._disk = disk
        self.least_free = shutil.disk_usage(disk).free

    def act(self, operation: Operation, after: bool) -> None:
        """Look."""
        self.least_free = min(self.least_free, shutil.disk_usage(self._disk).free)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk in a folder; False where that is not allowed."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def full_disk(scenario: Scenario, work: Path, seed: int, count: int) -> Tally:
    """Run the operation `count` times with less room than it needs; then make room."""
    began, tally = time.monotonic(), Tally("full", scenario.name)
    chance = random.Random(f"{seed} {scenario.name}")
    with small_disk(work) as mounted:
        bench = Bench(scenario, work / "disk", tally)
        bench.reset()
        free = shutil.disk_usage(work).free
        peak = Peak(work)
        with hooked(bench.box, peak):
            bench.command()
        needed = max(1, (free - peak.least_free) // PAGE)
        if not mounted:
            tally.name += " (no mount here: file sizes limited instead)"
        ballast = work / "ballast"
        for _ in range(count):
            bench.reset()
            tally.runs += 1
            if mounted:
                pages = chance.randint(0, needed)
                _leave_free(work, ballast, pages * PAGE)
                where = f"room for {pages} of {needed} pages"
                outcome = run_child(bench.command, ends_properly=True)
                ballast.unlink()
            else:
                limit = chance.randint(1000, 60_000)
                where = f"files of at most {limit} bytes"
                outcome = run_child(partial(_limited, bench, limit), ends_properly=True)
            check_ending(bench, outcome, where)
            names_disk = any(word in str(outcome.error) for word in ("disk", "space", "large"))
            if outcome.error is not None and not names_disk:
                bench.violation(where, f"the disk is not named: {outcome.error!r}")
            bench.finish(bench.look(bench.before, where), where)
    tally.seconds = time.monotonic() - began
    return tally


def _leave_free(disk: Path, ballast: Path, num_bytes: int) -> None:
    """Fill a disk but for some bytes."""
    with ballast.open("wb") as file:
        for _ in range(3):  # Also the pages that the file system needs for the ballast itself.
            extra = shutil.disk_usage(disk).free - num_bytes
            size = os.fstat(file.fileno()).st_size + extra
            if extra > 0:
                os.posix_fallocate(file.fileno(), 0, size)
            elif extra < 0:
                file.truncate(size)


def _limited(bench: Bench, limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        bench.command()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def tasks(work: Path, seed: int, count: int) -> list[Callable[[], Tally]]:
    """Return the work to be done: `count` runs in all."""
    chosen = [s for s in all_scenarios(24) if s.name.startswith(NAMES)]
    each = -(-count // len(chosen))
    return [
        partial(full_disk, scenario, work / str(number), seed, each)
        for number, scenario in enumerate(chosen)
    ]
