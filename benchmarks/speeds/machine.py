"""What else the machine is doing: a rate measured beside other work says little."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

BUSY = 0.1
"""Share of the cores' time that others may take."""


@dataclass(frozen=True, slots=True)
class CoreTime:
    """Seconds that all cores together have been busy, and have been there, since the start."""

    busy: float
    total: float

    @classmethod
    def now(cls) -> CoreTime:
        """Read the kernel's counters; zeros where they are not."""
        try:
            with open("/proc/stat", encoding="ascii") as file:
                ticks = [int(value) for value in file.readline().split()[1:9]]
        except OSError:
            return cls(0.0, 0.0)
        hertz = os.sysconf("SC_CLK_TCK")
        idle = ticks[3] + ticks[4]
        return cls((sum(ticks) - idle) / hertz, sum(ticks) / hertz)

    def others_since(self, before: CoreTime, own: float = 0.0) -> float:
        """Return the share of the cores' time that other processes, or machines, have taken.

        Args:
            before: An earlier moment.
            own: Seconds of processor time that do not count.
        """
        total = self.total - before.total
        return max(0.0, (self.busy - before.busy - own) / total) if total else 0.0


def watch_others(seconds: float = 2.0) -> float:
    """Return the share of the cores' time that is taken while nothing is measured."""
    before = CoreTime.now()
    time.sleep(seconds)
    return CoreTime.now().others_since(before)


def describe_load() -> str:
    """Return the load averages in words."""
    if not hasattr(os, "getloadavg"):
        return "load average unknown"
    return "load average " + ", ".join(f"{load:.2f}" for load in os.getloadavg())
