"""What a network learns: a class, several labels or a number; one module for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from featx.heads.kinds import Task
from featx.heads.operations import Operation
from featx.training.options import CLASS_KIND, NUMBER_KIND

DEFAULT_KIND: dict[Task, str] = {
    "single": CLASS_KIND,
    "multi": CLASS_KIND,
    "regression": NUMBER_KIND,
}
"""Task → the kind of head that a network is trained with, if nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What a network says of pictures that it has not learned from.

    Attributes:
        loss: Mean over the pictures, by which epochs are compared.
        figure: Share of right answers; of a number the mean absolute error.
        temperature: Of classes: by which logits are divided for that loss.
    """

    loss: float
    figure: float
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is done with the outputs of a network that was trained: ``factor * outputs + shift``."""

    factor: float = 1.0
    shift: float = 0.0


class Goal(Protocol):
    """What a network learns, with outputs (B, K) in front of the last operation of its top."""

    @property
    def end(self) -> tuple[Operation, ...]:
        """The last operation; none of a number."""
        ...

    @property
    def smoothing(self) -> float:
        """By how much labels are smoothed if nothing else is asked for."""
        ...

    @property
    def is_error(self) -> bool:
        """Whether `Validation.figure` is an error: the smaller, the better."""
        ...

    def encode(self, targets: np.ndarray) -> np.ndarray:
        """Return what outputs should be, float32 (B, K), of targets as in a lesson."""
        ...

    def begin(self) -> Stretch:
        """Return what is done with the outputs of a head on frozen features to train with them."""
        ...

    def finish(self, temperature: float) -> Stretch:
        """Return what is done with trained outputs to predict."""
        ...

    def loss(self, outputs: Any, wanted: Any, smoothing: float) -> Any:
        """Return the loss of each picture, (B,), in operations of TensorFlow."""
        ...

    def figure(self, outputs: Any, wanted: Any) -> Any:
        """Return `Validation.figure` of each picture, (B,), in operations of TensorFlow."""
        ...

    def validate(self, outputs: np.ndarray, targets: np.ndarray) -> Validation:
        """Measure outputs (N, K) of pictures with these targets."""
        ...


def choose_goal(task: Task, learned: np.ndarray, num_classes: int) -> Goal:
    """Return the goal of a task.

    Args:
        task: The task.
        learned: Targets of the pictures that are learned from, (N,) or (N, C).
        num_classes: C; of no meaning for a number.
    """
    from featx.training.goals.classes import ClassGoal
    from featx.training.goals.labels import LabelGoal
    from featx.training.goals.numbers import NumberGoal

    if task == "multi":
        return LabelGoal()
    return NumberGoal.of(learned) if task == "regression" else ClassGoal(num_classes)


def apply_end(goal: Goal, outputs: np.ndarray, temperature: float) -> np.ndarray:
    """Return what is predicted by outputs (N, K) of a trained network."""
    stretch = goal.finish(temperature)
    values = np.asarray(stretch.factor * outputs + stretch.shift, np.float32)
    ends: Sequence[Operation] = goal.end
    for operation in ends:
        values = operation(values)
    return values
