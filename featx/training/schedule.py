"""What is trained when, and with which learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from featx.training.options import Optimizer, Schedule, TrainingOptions


@dataclass(frozen=True, slots=True)
class Phase:
    """Epochs in which the same layers are trained.

    Attributes:
        name: ``top``: the new top alone; ``network``: also the layers that are unfrozen.
        first: Its first epoch, from 1.
        last: Its last one.
        optimizer: By which it is trained.
        learning_rate: The largest.
        schedule: How the rate changes.
    """

    name: Literal["top", "network"]
    first: int
    last: int
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule

    def rates(self, epoch: int, num_steps: int) -> Iterator[float]:
        """Yield the rate of each step of an epoch.

        Example:
            >>> phase = Phase("network", 1, 2, "sgd", 1.0, "cosine")
            >>> [round(rate, 2) for epoch in (1, 2) for rate in phase.rates(epoch, 2)]
            [1.0, 0.85, 0.5, 0.15]
        """
        total = (self.last - self.first + 1) * num_steps
        before = (epoch - self.first) * num_steps
        for step in range(num_steps):
            if self.schedule == "constant":
                yield self.learning_rate
            else:
                done = (before + step) / total
                yield self.learning_rate * (1 + math.cos(math.pi * done)) / 2


def list_phases(options: TrainingOptions) -> list[Phase]:
    """Return the phases that have epochs.

    Example:
        >>> [(phase.name, phase.first, phase.last) for phase in list_phases(TrainingOptions())]
        [('top', 1, 2), ('network', 3, 12)]
    """
    top, rest = options.top_epochs, options.epochs
    phases = [
        Phase("top", 1, top, "rmsprop", options.top_learning_rate, "constant"),
        Phase(
            "network",
            top + 1,
            top + rest,
            options.optimizer,
            options.learning_rate,
            options.schedule,
        ),
    ]
    return [phase for phase in phases if phase.first <= phase.last]
