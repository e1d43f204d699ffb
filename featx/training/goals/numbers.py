"""A number: squared error, of numbers of mean 0 and variance 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.tensorflow import import_tensorflow
from featx.heads.operations import Operation
from featx.training.goals import Stretch, Validation


@dataclass(frozen=True, slots=True)
class NumberGoal:
    """See `featx.training.goals.Goal`.

    A network is trained on numbers of mean 0 and variance 1, so that the same rates suit years and
    shares. Label smoothing has no meaning.

    Attributes:
        mean: Of the numbers that are learned from.
        scale: Their standard deviation; 1 if they are all equal.
    """

    mean: float
    scale: float
    end: tuple[Operation, ...] = ()
    smoothing: float = 0.0
    is_error: bool = True

    @classmethod
    def of(cls, learned: np.ndarray) -> NumberGoal:
        """Return the goal of learning some numbers, (N,).

        Example:
            >>> NumberGoal.of(np.array([1.0, 3.0])).encode(np.array([3.0, 4.0])).tolist()
            [[1.0], [2.0]]
        """
        return cls(float(learned.mean()), float(learned.std()) or 1.0)

    def encode(self, targets: np.ndarray) -> np.ndarray:
        """Return standardised numbers, (N, 1)."""
        return ((targets - self.mean) / self.scale).astype(np.float32)[:, np.newaxis]

    def begin(self) -> Stretch:
        """Standardise the numbers that the head predicts."""
        return Stretch(1 / self.scale, -self.mean / self.scale)

    def finish(self, temperature: float) -> Stretch:
        """Return to the unit of the numbers."""
        return Stretch(self.scale, self.mean)

    def loss(self, outputs: Any, wanted: Any, smoothing: float) -> Any:
        """Return squared errors."""
        return import_tensorflow().square(outputs - wanted)[:, 0]

    def figure(self, outputs: Any, wanted: Any) -> Any:
        """Return absolute errors, in the unit of the numbers."""
        return self.scale * import_tensorflow().abs(outputs - wanted)[:, 0]

    def validate(self, outputs: np.ndarray, targets: np.ndarray) -> Validation:
        """Return the mean squared error, and the mean absolute one."""
        errors = outputs.astype(np.float64) - self.encode(targets)
        error = self.scale * float(np.abs(errors).mean())
        return Validation(float(np.square(errors).mean()), error)
