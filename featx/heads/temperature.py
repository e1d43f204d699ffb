"""Temperature scaling: how sure a head may be of itself, by rows that it was not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.heads.calibration import find_factor
from featx.heads.evaluation import Calibrated, measure_outcomes
from featx.heads.measures import log_loss
from featx.heads.operations import Temper
from featx.heads.outcomes import Outcomes, find_outcomes, iter_blocks, join_outcomes

LEAST_ROWS = 50
"""Rows from which a temperature is chosen: fewer say little about confidence."""

MOST_VALUES = 4_000_000
"""Probabilities from which it is chosen: 16 MB; of more rows, every second, third ..."""


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
    return _find_temperature(Scored(probabilities, targets, targets), np.arange(len(targets)))


def _find_temperature(scored: Scored, rows: np.ndarray) -> float:
    """Return the best temperature of some rows."""
    chosen = rows[:: max(1, len(rows) * scored.probabilities.shape[1] // MOST_VALUES)]
    logs = np.log(np.maximum(scored.probabilities[chosen], np.finfo(np.float32).tiny))
    return 1 / find_factor(logs, scored.targets[chosen])


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
    rows = [np.flatnonzero(halves == half) for half in (0, 1)]
    chosen = [_find_temperature(scored, other) for other in reversed(rows)]
    parts = (_temper(scored, *half) for half in zip(rows, chosen, strict=True))
    measured = measure_outcomes(join_outcomes(parts), names)
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
    tempered = _temper(scored, np.arange(len(scored.targets)), chosen.temperature)
    measured = measure_outcomes(tempered, names)
    return Calibrated(
        chosen.temperature, measured.log_loss, measured.calibration_error, chosen.used
    )


def _temper(scored: Scored, rows: np.ndarray, temperature: float) -> Outcomes:
    """Return what some rows come down to with a temperature, block by block."""
    temper = Temper(temperature)
    blocks = iter_blocks(scored.probabilities, scored.targets, rows)
    return join_outcomes(find_outcomes(temper(block), targets) for block, targets in blocks)
