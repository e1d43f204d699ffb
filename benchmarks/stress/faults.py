"""Faults: the k-th write, flush or change of a name fails with an error of the system."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.stress.bench import Bench
from benchmarks.stress.children import Outcome, run_child
from benchmarks.stress.hooks import Counter, FailAt, hooked
from benchmarks.stress.results import Tally
from benchmarks.stress.scenarios import Scenario, all_scenarios
from featx.errors import FeatxError

FAULTS: dict[str, tuple[frozenset[str], int]] = {
    "write EIO": (frozenset({"write"}), errno.EIO),
    "write ENOSPC": (frozenset({"write"}), errno.ENOSPC),
    "flush EIO": (frozenset({"fsync"}), errno.EIO),
    "name ENOSPC": (frozenset({"create", "replace", "link", "mkdir", "pwrite"}), errno.ENOSPC),
    "removal EIO": (frozenset({"unlink", "rmdir"}), errno.EIO),
}
"""What fails, and how."""

MOST_WRITES = 15
"""Writes of a scenario that fail, evenly spread over them: HDF5 writes hundreds of times."""


def check_ending(bench: Bench, outcome: Outcome, where: str, *, plain: bool = False) -> None:
    """Note a disturbed run that ended in another way than well or with a stated error.

    Args:
        bench: The scenario.
        outcome: How the run ended.
        where: How it was disturbed.
        plain: Whether an error of the system will do, with the file that it is about.
    """
    if outcome.signal:
        bench.violation(where, f"ended by signal {outcome.signal}")
    elif outcome.error is None:
        bench.tally.figures["done all the same"] += 1
    elif isinstance(outcome.error, FeatxError):
        bench.tally.figures["stated errors"] += 1
    elif plain and isinstance(outcome.error, OSError):
        bench.tally.figures["errors of the system"] += 1
    else:
        trace = [line.strip() for line in outcome.trace.splitlines() if "featx/" in line]
        bench.violation(where, f"{outcome.error!r} is no stated error ({' < '.join(trace[-3:])})")


def faults(scenario: Scenario, work: Path, step: int = 1) -> Tally:
    """Let each operation of each kind fail once; check what is there, and run again."""
    began, tally = time.monotonic(), Tally("faults", scenario.name)
    bench = Bench(scenario, work, tally)
    for fault, (kinds, code) in FAULTS.items():
        bench.reset()
        counter = Counter(kinds)
        with hooked(bench.box, counter):
            bench.command()
        width = max(1, -(-counter.count // MOST_WRITES)) if "write" in kinds else 1
        for number in range(1, counter.count + 1, width * step):
            bench.reset()
            tally.runs += 1
            where = f"{fault} at {number} of {counter.count}"
            action = partial(_failing, bench, FailAt(kinds, number, code))
            outcome = run_child(action, ends_properly=True)
            # What cannot be removed is no feature: the command line shows such an error as it is.
            check_ending(bench, outcome, where, plain="unlink" in kinds)
            bench.finish(bench.look(bench.before, where), where)
    tally.seconds = time.monotonic() - began
    return tally


def _failing(bench: Bench, hook: FailAt) -> None:
    with hooked(bench.box, hook):
        bench.command()


def tasks(work: Path, step: int = 1) -> list[Callable[[], Tally]]:
    """Return the work to be done."""
    return [
        partial(faults, scenario, work / str(number), step)
        for number, scenario in enumerate(all_scenarios())
    ]
