"""What every competitor's process does alike: read its task, and print what it measured.

Only the standard library is used: the Python with PyTorch may have nothing else in common.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.speeds.networks import NETWORKS, Network

SKIPPED = 77
"""Exit status of a competitor that cannot run here; its last line says why."""

BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Task:
    """What a competitor is to do.

    Attributes:
        network: A name in `NETWORKS`.
        folder: The pictures, in folders of classes.
        weights: A file of weights; ``random`` for random ones.
        scratch: A folder to write into.
        seconds: How long to go on, for measurements that take no pictures.
        cores: Only so many cores are used.
    """

    network: str
    folder: str
    weights: str
    scratch: str
    seconds: float
    cores: int

    def to_argument(self) -> str:
        """Return the task as text, for `read_task`."""
        return json.dumps(asdict(self))

    @property
    def described(self) -> Network:
        """The network."""
        return NETWORKS[self.network]


def read_task() -> Task:
    """Return the task of this process, which from here on keeps to the cores of it.

    To be called before libraries are imported, which count the cores.
    """
    task = Task(**json.loads(sys.argv[1]))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task.cores])
    return task


def report(
    amount: float, seconds: float, *, peak: int = 0, other_bytes: int = 0, **facts: Any
) -> None:
    """Print what was measured as the last line.

    Args:
        amount: Pictures, or floating-point operations of a matrix product.
        seconds: What they took, without start and loading.
        peak: Most bytes of memory, where they are not those of the whole process.
        other_bytes: Memory of processes that this one has started.
        facts: What else is worth knowing.
    """
    peak = (peak or peak_bytes()) + other_bytes
    print(json.dumps({"amount": amount, "seconds": seconds, "peak": peak, "facts": facts}))


def skip(reason: str) -> None:
    """Say why this competitor cannot run here, and end."""
    print(reason)
    sys.exit(SKIPPED)


def list_files(folder: str) -> list[str]:
    """Return all files in folders of classes, in order."""
    return sorted(
        os.path.join(place, name) for place, _, names in os.walk(folder) for name in names
    )


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            # Not the kernel's ru_maxrss, which a process inherits from the one that started it.
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def private_bytes(pids: list[int]) -> int:
    """Return the memory that processes share with no other."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(
                    int(line.split()[1]) * 1024 for line in file if line.startswith("Private_")
                )
        except OSError:  # It has ended, or this is not Linux.
            pass
    return total
