"""Temperature scaling: how sure a head may be of itself, by rows that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.heads.calibration import find_factor
from featx.heads.evaluation import Calibrated, measure_classes
from featx.heads.measures import log_loss
from featx.heads.operations import Temper

LEAST_ROWS = 50
"""Rows from which a temperature is chosen: fewer say little about confidence."""

MOST_VALUES = 20_000_000
"""Probabilities from which it is chosen: 160 MB; of more rows, every second, third ..."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a head says of N rows that it was not fitted on.

    Attributes:
        probabilities: Shape (N, C); of a regression numbers, (N, 1).
        targets: What is true, as in `featx.heads.kinds.Examples`.
        groups: Group numbers, (N,): rows that belong together.
    """

    probabilities: np.ndarray
    targets: np.ndarray
    groups: np.ndarray

    def take(self, rows: np.ndarray) -> Scored:
        """Return some of the rows: bool (N,)."""
        return Scored(self.probabilities[rows], self.targets[rows], self.groups[rows])


def find_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the temperature that gives the least log loss; see `find_factor`.

    Logits are divided by it; probabilities are taken to the power of its inverse, then scaled.

    Args:
        probabilities: Shape (N, C).
        targets: True class numbers, (N,).

    Example:
        >>> sure = np.array([[0.99, 0.01], [0.99, 0.01], [0.01, 0.99], [0.99, 0.01]])
        >>> round(find_temperature(sure, np.array([0, 0, 1, 1])), 1)  # Three of four are right.
        6.6
    """
    step = max(1, probabilities.size // MOST_VALUES)
    logs = np.log(np.maximum(probabilities[::step], np.finfo(np.float32).tiny))
    return 1 / find_factor(logs, targets[::step])


def halve_groups(groups: np.ndarray, seed: int) -> np.ndarray | None:
    """Divide held-out rows in two, each of which is measured with what the other one chose.

    Args:
        groups: Group numbers, (N,): rows that stay together.
        seed: For the division.

    Returns:
        0 or 1 for each row, (N,); None where there are too few.

    Example:
        >>> halves = halve_groups(np.arange(60) // 2, seed=0)
        >>> np.bincount(halves).tolist(), bool((halves[::2] == halves[1::2]).all())
        ([30, 30], True)
    """
    numbers, positions = np.unique(groups, return_inverse=True)
    if len(groups) < LEAST_ROWS or len(numbers) < 2:
        return None
    order = np.random.default_rng(seed).permutation(len(numbers))
    return np.asarray((order % 2)[positions.reshape(-1)])


def choose_temperature(scored: Scored, names: tuple[str, ...], seed: int) -> Calibrated | None:
    """Choose a temperature by held-out rows, and measure it on those that did not choose.

    The rows are divided in two; each half is measured with the temperature that the other half
    chose. The one that is returned is chosen by all of them.

    Args:
        scored: Held-out rows.
        names: C class names.
        seed: For the division.

    Returns:
        None where there are too few rows.
    """
    halves = halve_groups(scored.groups, seed)
    if halves is None:
        return None
    tempered = np.empty_like(scored.probabilities)
    for half in (0, 1):
        other = scored.take(halves != half)
        temperature = find_temperature(other.probabilities, other.targets)
        tempered[halves == half] = Temper(temperature)(scored.probabilities[halves == half])
    measured = measure_classes(tempered, scored.targets, names)
    return Calibrated(
        find_temperature(scored.probabilities, scored.targets),
        measured.log_loss,
        measured.calibration_error,
        used=measured.log_loss < log_loss(scored.probabilities, scored.targets),
    )


def measure_temperature(chosen: Calibrated, scored: Scored, names: tuple[str, ...]) -> Calibrated:
    """Measure a temperature on rows that had no part in its choice.

    Args:
        chosen: What other rows chose.
        scored: Held-out rows.
        names: C class names.
    """
    tempered = Temper(chosen.temperature)(scored.probabilities)
    measured = measure_classes(tempered, scored.targets, names)
    return Calibrated(
        chosen.temperature, measured.log_loss, measured.calibration_error, chosen.used
    )
