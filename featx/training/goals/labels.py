"""Several labels for each picture: independent sigmoids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.tensorflow import import_tensorflow
from featx.heads.logistic import sigmoid_entropy
from featx.heads.operations import Operation, Sigmoid
from featx.training.goals import Stretch, Validation


@dataclass(frozen=True, slots=True)
class LabelGoal:
    """See `featx.training.goals.Goal`."""

    end: tuple[Operation, ...] = (Sigmoid(),)
    smoothing: float = 0.0
    is_error: bool = False

    def encode(self, targets: np.ndarray) -> np.ndarray:
        """Return 1 for labels that apply, 0 for the others."""
        return targets.astype(np.float32)

    def begin(self) -> Stretch:
        """Leave the logits of the head as they are."""
        return Stretch()

    def finish(self, temperature: float) -> Stretch:
        """Leave the logits as they are: thresholds are chosen by them."""
        return Stretch()

    def loss(self, outputs: Any, wanted: Any, smoothing: float) -> Any:
        """Return binary cross-entropies in nats, their means over the labels."""
        tensorflow = import_tensorflow()
        smooth = wanted * (1 - smoothing) + smoothing / 2
        entropy = tensorflow.nn.sigmoid_cross_entropy_with_logits(smooth, outputs)
        return tensorflow.reduce_mean(entropy, axis=1)

    def figure(self, outputs: Any, wanted: Any) -> Any:
        """Return the shares of labels that are right at a probability of 0.5."""
        tensorflow = import_tensorflow()
        right = tensorflow.cast((outputs > 0) == (wanted > 0.5), tensorflow.float32)
        return tensorflow.reduce_mean(right, axis=1)

    def validate(self, outputs: np.ndarray, targets: np.ndarray) -> Validation:
        """Return loss and share of right labels."""
        right = float(((outputs > 0) == targets).mean())
        return Validation(sigmoid_entropy(outputs, targets), right)
