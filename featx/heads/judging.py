"""What the outputs of a head are worth, by its task, on rows that it was not fitted on.

What is chosen by held-out rows (a temperature, thresholds) is never measured on those that chose
it. Where the split is given, a part of the training rows chooses; otherwise the held-out rows are
divided in two, and each half is measured with what the other one chose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from featx.heads.evaluation import Evaluation, measure_classes
from featx.heads.held_out import (
    AnyHeldOut,
    HeldOutLabels,
    HeldOutNumbers,
    Pictures,
    hold_out,
)
from featx.heads.kinds import Task
from featx.heads.label_evaluation import (
    DEFAULT_THRESHOLD,
    LabelEvaluation,
    choose_thresholds,
    mean_average_precision,
    measure_labels,
)
from featx.heads.number_evaluation import NumberEvaluation, measure_numbers
from featx.heads.outcomes import find_outcomes
from featx.heads.temperature import (
    Scored,
    choose_temperature,
    halve_groups,
    measure_temperature,
)

AnyEvaluation = Evaluation | LabelEvaluation | NumberEvaluation
"""The figures of a head, by its task."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """How outputs are measured.

    Attributes:
        task: What is predicted.
        classes: C class names; none of a regression.
        seed: For the division in two.
        is_apart: Whether other rows than those measured on choose.
        tuning: These rows; None where there are too few of them.
    """

    task: Task
    classes: tuple[str, ...]
    seed: int
    is_apart: bool = False
    tuning: Scored | None = None

    def measure(self, scored: Scored, baseline: np.ndarray | float = 0.0) -> AnyEvaluation:
        """Return the figures of held-out rows.

        Args:
            scored: The rows.
            baseline: Of a regression, what is said of them without looking, (N,) or a number.
        """
        if self.task == "regression":
            return measure_numbers(scored.probabilities[:, 0], scored.targets, baseline)
        if self.task == "multi":
            predicted, thresholds = self.decide(scored)
            return measure_labels(
                scored.probabilities, scored.targets, predicted, self.classes, thresholds
            )
        evaluation = measure_classes(scored.probabilities, scored.targets, self.classes)
        chosen = self.tuning if self.is_apart else scored
        calibrated = None
        if chosen is not None:
            calibrated = choose_temperature(chosen, self.classes, self.seed)
        if calibrated is not None and self.is_apart:
            calibrated = measure_temperature(calibrated, scored, self.classes)
        return replace(evaluation, calibrated=calibrated)

    def decide(self, scored: Scored) -> tuple[np.ndarray, np.ndarray]:
        """Return which labels apply, bool (N, C), and the thresholds of the saved head, (C,)."""
        default = np.full(len(self.classes), DEFAULT_THRESHOLD)
        if self.is_apart:
            thresholds = default
            if self.tuning is not None:
                thresholds = choose_thresholds(self.tuning.probabilities, self.tuning.targets)
            return scored.probabilities >= thresholds, thresholds
        halves = halve_groups(scored.groups, self.seed)
        if halves is None:
            return scored.probabilities >= default, default
        predicted = np.zeros(scored.targets.shape, bool)
        for half in (0, 1):
            other = scored.take(halves != half)
            thresholds = choose_thresholds(other.probabilities, other.targets)
            predicted[halves == half] = scored.probabilities[halves == half] >= thresholds
        return predicted, choose_thresholds(scored.probabilities, scored.targets)

    def look_at(self, pictures: Pictures, scored: Scored, straddling: np.ndarray) -> AnyHeldOut:
        """Return what is said of each of N pictures.

        Args:
            pictures: As for `featx.heads.held_out.hold_out`.
            scored: The pictures.
            straddling: Whether a near-duplicate was fitted on, bool (N,).
        """
        if self.task == "single":
            outcomes = find_outcomes(scored.probabilities, scored.targets)
            return hold_out(pictures, self.classes, outcomes, straddling)
        root, keys, content_hash = pictures
        if self.task == "regression":
            predicted = scored.probabilities[:, 0]
            return HeldOutNumbers(
                root, tuple(keys), content_hash, straddling, scored.targets, predicted
            )
        return HeldOutLabels(
            root,
            tuple(keys),
            content_hash,
            straddling,
            self.classes,
            scored.targets,
            self.decide(scored)[0],
            scored.probabilities,
        )

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Return the figure that folds are compared by: accuracy, mAP or mean absolute error."""
        if self.task == "multi":
            return mean_average_precision(outputs, targets)
        if self.task == "regression":
            return float(np.abs(outputs[:, 0] - targets).mean())
        return float((outputs.argmax(axis=1) == targets).mean())
