"""The machine that featx runs on: how many cores it may use, and what processor they are of."""

from __future__ import annotations

import glob
import math
import os
import platform
from functools import cache
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
"""Where Linux says how much of the processors a container may use."""


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
    quota = _quota()
    return max(1, cores if quota is None else min(cores, quota))


def _quota() -> int | None:
    """Return the cores that a container's share of time is worth; None if it has no limit.

    In version 2 of control groups ``cpu.max`` is ``QUOTA PERIOD``, the quota ``max`` for none; in
    version 1 they are two files, and the quota is -1 for none.
    """
    first = CONTROL_GROUPS / "cpu"
    for files in (
        [CONTROL_GROUPS / "cpu.max"],
        [first / "cpu.cfs_quota_us", first / "cpu.cfs_period_us"],
    ):
        try:
            words = " ".join(file.read_text(encoding="ascii") for file in files).split()
            quota, period = map(int, words)
            return math.ceil(quota / period) if quota > 0 else None
        except (OSError, ValueError, ZeroDivisionError):
            continue  # Not Linux, the other version, or no limit.
    return None


def has_gpu_driver() -> bool:
    """Whether NVIDIA's driver runs, on Linux or in WSL, even where no GPU may be used."""
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")


def has_gpu() -> bool:
    """Whether there is a GPU that TensorFlow may use; found without loading TensorFlow."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return bool(glob.glob("/dev/nvidia[0-9]*")) or os.path.exists("/dev/dxg")


@cache
def describe_machine() -> str:
    """Name the processor, the cores in use and the GPUs: what a measured speed belongs to."""
    processor = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            found = next((line for line in file if line.startswith("model name")), "")
        processor = found.partition(":")[2].strip() or processor
    except OSError:  # Not Linux.
        pass
    gpus = sorted(
        Path(path).read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        for path in glob.glob("/proc/driver/nvidia/gpus/*/information")
    )
    seen = f"{gpus or 'a GPU'}, visible: {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    words = [processor or platform.machine(), f"{available_cores()} cores"]
    return ", ".join([*words, *([seen] if has_gpu() else [])])
