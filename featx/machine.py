"""The machine that featx runs on: its processor, the cores and the GPUs that may be used."""

from __future__ import annotations

import glob
import math
import os
import platform
from functools import cache
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
"""Where Linux states how much processor time a container may use."""


_most_cores: int | None = None


def limit_cores(count: int) -> None:
    """Let `available_cores` return no more than this from now on: others compute beside it."""
    global _most_cores
    _most_cores = count


def available_cores() -> int:
    """Return the number of cores this process may use.

    By its affinity, its container's quota and `limit_cores`.

    Example:
        >>> available_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limits = [limit for limit in (_quota(), _most_cores) if limit is not None]
    return max(1, min([cores, *limits]))


def _quota() -> int | None:
    """Return a container's limit of processor time as a number of cores; None if it has none.

    Version 2 of control groups has one file, ``cpu.max``, with ``QUOTA PERIOD``; the quota is
    ``max`` for no limit. Version 1 has two files; the quota is -1 for no limit.
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
    """Whether NVIDIA's driver is running, on Linux or in WSL, even if no GPU may be used."""
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")


def has_gpu() -> bool:
    """Whether there is a GPU that TensorFlow may use; does not load TensorFlow."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return bool(glob.glob("/dev/nvidia[0-9]*")) or os.path.exists("/dev/dxg")


@cache
def describe_instructions() -> str:
    """Describe the instructions that the processor has, as far as Linux tells them.

    A virtual machine may hide some: the name of its processor does not say which there are.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            found = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:  # Not Linux.
        return ""
    return found.partition(":")[2].strip()


@cache
def describe_machine() -> str:
    """Describe the processor, the cores in use and the GPUs, to which a measured speed belongs."""
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
