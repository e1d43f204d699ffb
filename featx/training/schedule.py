"""What is trained when, and with which learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from featx.training.options import Optimizer, Schedule, TrainingOptions

WARM_UP = 0.1
"""Share of the steps of a ``cosine`` in which the rate rises.

Adam's first steps are as long as its later ones, whatever the gradient: at the full rate from the
first one on, MobileNetV2 0.35 on flowers ended far below its frozen features (.933, then .808; with
these steps .954).
"""


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
        is_restart: Whether the optimiser goes on, so that a rate need not rise.
    """

    name: Literal["top", "network"]
    first: int
    last: int
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule
    is_restart: bool = False

    def rates(self, epoch: int, num_steps: int) -> Iterator[float]:
        """Yield the rate of each step of an epoch.

        Example:
            >>> phase = Phase("network", 1, 2, "adam", 1.0, "cosine")
            >>> [round(rate, 2) for epoch in (1, 2) for rate in phase.rates(epoch, 10)][::3]
            [0.5, 0.99, 0.88, 0.67, 0.41, 0.18, 0.03]
        """
        total = (self.last - self.first + 1) * num_steps
        rising = 0.0 if self.is_restart else WARM_UP * total
        before = (epoch - self.first) * num_steps
        for step in range(before, before + num_steps):
            if self.schedule == "constant":
                yield self.learning_rate
            elif step < rising:
                yield self.learning_rate * min(1.0, (step + 1) / rising)
            else:
                done = (step - rising) / (total - rising)
                yield self.learning_rate * (1 + math.cos(math.pi * done)) / 2


def list_phases(options: TrainingOptions, resumed: Sequence[int] = ()) -> list[Phase]:
    """Return the phases that have epochs.

    Args:
        options: How the network is trained.
        resumed: Epochs behind which a run was given more of them: there the schedule begins anew,
            as in "SGDR: Stochastic Gradient Descent with Warm Restarts" (Loshchilov and Hutter,
            2017), and ends with the next one, or the run.

    Example:
        >>> options = TrainingOptions(top_epochs=2, epochs=20)
        >>> [(phase.name, phase.first, phase.last) for phase in list_phases(options, [12])]
        [('top', 1, 2), ('network', 3, 12), ('network', 13, 22)]
    """
    top, last = options.top_epochs, options.top_epochs + options.epochs
    ends = [end for end in resumed if top < end < last]
    phases = [Phase("top", 1, top, "rmsprop", options.top_learning_rate, "constant")]
    for first, end in pairwise([top, *ends, last]):
        phases.append(
            Phase(
                "network",
                first + 1,
                end,
                options.optimizer,
                options.learning_rate,
                options.schedule,
                is_restart=first > top,
            )
        )
    return [phase for phase in phases if phase.first <= phase.last]
