"""One class of several: softmax and cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.tensorflow import import_tensorflow
from featx.heads.calibration import accuracy, cross_entropy, find_factor
from featx.heads.operations import Operation, Softmax
from featx.training.goals import Stretch, Validation


@dataclass(frozen=True, slots=True)
class ClassGoal:
    """See `featx.training.goals.Goal`.

    Training makes a network surer of itself than it should be, also where it becomes better. So its
    loss is that at the temperature that suits the pictures best (Guo et al., 2017), which then
    becomes part of its top.

    Attributes:
        num_classes: C.
    """

    num_classes: int
    end: tuple[Operation, ...] = (Softmax(),)
    smoothing: float = 0.1
    is_error: bool = False

    def encode(self, targets: np.ndarray) -> np.ndarray:
        """Return 1 for the class of each picture, 0 for the others."""
        wanted = np.zeros((len(targets), self.num_classes), np.float32)
        wanted[np.arange(len(targets)), targets] = 1
        return wanted

    def begin(self) -> Stretch:
        """Leave the logits of the head as they are."""
        return Stretch()

    def finish(self, temperature: float) -> Stretch:
        """Divide logits by the temperature."""
        return Stretch(1 / temperature)

    def loss(self, outputs: Any, wanted: Any, smoothing: float) -> Any:
        """Return cross-entropies with softmax, in nats."""
        tensorflow = import_tensorflow()
        smooth = wanted * (1 - smoothing) + smoothing / self.num_classes
        return tensorflow.nn.softmax_cross_entropy_with_logits(smooth, outputs)

    def figure(self, outputs: Any, wanted: Any) -> Any:
        """Return 1 for right answers."""
        tensorflow = import_tensorflow()
        found = tensorflow.argmax(outputs, axis=1) == tensorflow.argmax(wanted, axis=1)
        return tensorflow.cast(found, tensorflow.float32)

    def validate(self, outputs: np.ndarray, targets: np.ndarray) -> Validation:
        """Return loss and accuracy, and the temperature of the loss."""
        factor = find_factor(outputs, targets, near_one=True)
        loss = cross_entropy(factor * outputs, targets)
        return Validation(loss, accuracy(outputs, targets), 1 / factor)
