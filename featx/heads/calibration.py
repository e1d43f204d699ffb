"""Scores of held-out rows: their loss, and the factor that makes probabilities of them."""

from __future__ import annotations

import numpy as np

from featx.heads.kinds import Choice, Examples

LEAST_LOG, MOST_LOG = -7.0, 9.0
"""Natural logarithms between which the factor is looked for."""

MOST_SCORES = 2_000_000
"""Scores from which the factor is found: one number needs no more."""


def cross_entropy(
    scores: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the mean cross-entropy of softmax of scores (N, C), in nats.

    Example:
        >>> round(cross_entropy(np.zeros((2, 4)), np.array([0, 3])), 4)
        1.3863
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(targets)), targets]
    losses = np.log(np.exp(shifted).sum(axis=1)) - own
    return float(np.average(losses, weights=weights))


def find_factor(
    scores: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    near_one: bool = False,
) -> float:
    """Return the factor of the scores (N, C) that gives the least cross-entropy.

    This is temperature scaling (Guo et al., 2017, "On Calibration of Modern Neural Networks");
    the factor is the inverse of the temperature. Where all of N rows are right, no factor would
    be too large; so one of N + 2 counts as if the strongest other class were true (Laplace's rule
    of succession, as Platt, 1999, smooths targets).

    With `near_one`, the scores were trained to be logits: before a row is seen, the logarithm of
    the factor has the standard normal distribution. A few rows then change little.

    Example:
        >>> scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> factor = find_factor(scores, np.array([0, 0, 1, 1]))  # Three of four are right, so
        >>> round(float(1 / (1 + np.exp(-factor))), 2)  # four of six are expected to be.
        0.67
        >>> round(find_factor(scores, np.array([0, 0, 1, 1]), near_one=True), 2)
        0.87
    """
    from scipy.optimize import minimize_scalar

    step = max(1, -(-scores.size // MOST_SCORES))  # With thousands of classes, of every few rows.
    targets, weights = targets[::step], None if weights is None else weights[::step]
    scores = np.asarray(scores[::step], np.float64)
    doubt = float(np.average(_margins(scores, targets), weights=weights)) / (len(scores) + 2)
    prior = near_one / (2 * len(scores))
    scores = scores - scores.max(axis=1, keepdims=True)
    own = float(np.average(scores[np.arange(len(targets)), targets], weights=weights))
    shifted = scores.astype(np.float32)

    def measure(log: float) -> float:
        sums = np.exp(shifted * np.float32(np.exp(log))).sum(axis=1)
        spread = float(np.average(np.log(sums.astype(np.float64)), weights=weights))
        return spread + float(np.exp(log)) * (doubt - own) + prior * log**2

    bounds = (LEAST_LOG, MOST_LOG)
    found = minimize_scalar(measure, bounds=bounds, method="bounded", options={"xatol": 0.005})
    return float(np.exp(found.x))


def _margins(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return by how much the target's score is above the largest other one, (N,)."""
    rows = np.arange(len(targets))
    others = scores.copy()
    others[rows, targets] = -np.inf
    return np.asarray(scores[rows, targets] - others.max(axis=1))


def accuracy(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the share of rows (N, C) whose largest score is that of the target."""
    return float((scores.argmax(axis=1) == targets).mean())


def choose_temperature(scores: np.ndarray, held_out: Examples) -> Choice:
    """Return the best temperature of classes on held-out rows, with loss and accuracy.

    Args:
        scores: Of a kind that did not see these rows, (N, C); softmax of them over the
            temperature gives probabilities.
        held_out: The N rows.
    """
    targets, weights = held_out.targets, held_out.weights
    factor = find_factor(scores, targets, weights)
    loss = cross_entropy(factor * scores, targets, weights)
    return Choice({"temperature": 1 / factor}, loss, accuracy(scores, targets), len(held_out))
