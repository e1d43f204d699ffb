"""The machine that featx runs on: how many cores it may use, and what processor they are of."""

from __future__ import annotations

import math
import os
import platform
from functools import cache
from pathlib import Path

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how much of the processors a container may use (cgroup v2): microseconds of
computing, or ``max``, in so many microseconds."""


def available_cores() -> int:
    """Return the number of cores that this process may use: by affinity, and a container's quota.

    Example:
        >>> available_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # Not Linux, an older one, or no limit.
        pass
    return max(1, cores)


@cache
def describe_machine() -> str:
    """Name the processor and the cores in use: what a measured speed belongs to."""
    processor = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            found = next((line for line in file if line.startswith("model name")), "")
        processor = found.partition(":")[2].strip() or processor
    except OSError:  # Not Linux.
        pass
    return f"{processor or platform.machine()}, {available_cores()} cores"
