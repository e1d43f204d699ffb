"""Logistic regression by L-BFGS, in blocks of rows: nothing is copied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from featx.heads.design import Design
from featx.heads.kinds import Examples
from featx.heads.threads import over_blocks

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

EXACT_VALUES = 100_000
"""Up to so many values (N x D), float64 is used: it costs nothing there."""

MAX_ITERATIONS = 1_000

PAIRS, FEW_PAIRS, MANY_PARAMETERS = 10, 5, 50_000
"""Steps that L-BFGS remembers, and of how many coefficients (C x R) it remembers fewer: they do not
fit into a cache then, and ten cost as much as a tenth of a pass without saving one."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """Coefficients (C, R) and intercepts (C,) of standardised values."""

    coefficients: np.ndarray
    intercepts: np.ndarray


@dataclass(frozen=True, slots=True)
class Penalty:
    """The objective's penalty, and how exactly it is minimised.

    Attributes:
        inverse: C of scikit-learn: half the squared length of the coefficients is added to C
            times the sum of the losses.
        tolerance: Relative decrease of the objective in a step at which to stop.
        remaining: Decrease that must not be expected of all further steps together, to stop.
    """

    inverse: float
    tolerance: float
    remaining: float = math.inf


class Logistic:
    """The objective of scikit-learn's LogisticRegression on one set of examples.

    ``single``: softmax over C classes. ``multi``: C sigmoids. Intercepts are not penalised.

    Args:
        design: Examples, of which nothing is copied.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        examples = design.examples
        self._count = float(examples.counts.sum())
        is_small = examples.values.size <= EXACT_VALUES
        self._dtype = np.dtype(np.float64 if is_small else np.float32)
        self._shape = (examples.num_classes, design.width)
        # Of two classes scikit-learn fits one difference z, whose halves are the two logits.
        is_difference = examples.task == "single" and examples.num_classes == 2
        self._penalised = 2.0 if is_difference else 1.0

    def minimise(self, penalty: Penalty, start: LinearMap | None = None) -> LinearMap:
        """Fit, from a start or from zero."""
        from scipy.optimize import minimize

        strength = self._penalised / (penalty.inverse * self._count)
        num_classes = self._shape[0]

        def unpack(vector: np.ndarray) -> LinearMap:
            return LinearMap(vector[num_classes:].reshape(self._shape), vector[:num_classes])

        def objective(vector: np.ndarray) -> tuple[float, np.ndarray]:
            point = unpack(vector)
            loss, slope = self.loss(point)
            loss += strength / 2 * float(np.vdot(point.coefficients, point.coefficients))
            steep = slope.coefficients + strength * point.coefficients
            return loss, np.concatenate([slope.intercepts, steep.ravel()])

        vector = np.zeros(num_classes + math.prod(self._shape))
        if start is not None:
            vector[:num_classes] = start.intercepts
            vector[num_classes:] = start.coefficients.ravel()
        options = {
            "maxiter": MAX_ITERATIONS,
            "maxcor": FEW_PAIRS if len(vector) > MANY_PARAMETERS else PAIRS,
            "ftol": penalty.tolerance,
            "gtol": 1e-9,
        }
        reached: list[float] = []

        def stop_in_time(intermediate_result: OptimizeResult) -> None:
            reached.append(intermediate_result.fun)
            if _is_near_the_end(reached, penalty):
                raise StopIteration

        watch = None
        if penalty.remaining < math.inf:
            watch, options["ftol"] = stop_in_time, 0
        found = minimize(
            objective, vector, jac=True, method="L-BFGS-B", options=options, callback=watch
        )
        return unpack(found.x)

    def loss(self, point: LinearMap) -> tuple[float, LinearMap]:
        """Return the mean loss, in nats, and its gradient."""
        measure = _sigmoid_loss if self.design.examples.task == "multi" else _softmax_loss
        inner, offsets = self.design.fold(point.coefficients, point.intercepts)
        inner, offsets = inner.astype(self._dtype), offsets.astype(self._dtype)

        def measure_block(block: Examples) -> tuple[float, np.ndarray, np.ndarray]:
            values = np.asarray(block.values, self._dtype)
            scores = values @ inner.T
            scores += offsets
            counts = None if block.weights is None else block.counts.astype(self._dtype)
            loss = measure(scores, block.targets, counts)  # Scores are errors from here on.
            return loss, scores.T @ values, scores.sum(axis=0, dtype=np.float64)

        total, slope = 0.0, np.zeros(self._shape)
        errors_sum = np.zeros(len(offsets))
        for part in over_blocks(measure_block, self.design.examples):
            total += part[0]
            slope += part[1]
            errors_sum += part[2]
        slope = (slope - np.outer(errors_sum, self.design.mean)) / self.design.scale
        return total / self._count, LinearMap(slope / self._count, errors_sum / self._count)


def _is_near_the_end(reached: list[float], penalty: Penalty) -> bool:
    """Whether the last step brought little, and all further ones will.

    What is still to come is extrapolated as a geometric series (Aitken's delta-squared process)
    from two thirds of the steps: on ill-conditioned features each step brings little for long.

    Args:
        reached: The objective after each step.
        penalty: How exactly it is minimised.
    """
    third = (len(reached) - 1) // 3
    if third == 0 or reached[-2] - reached[-1] > penalty.tolerance * max(1, abs(reached[-1])):
        return False
    before = reached[-1 - 2 * third] - reached[-1 - third]
    last = reached[-1 - third] - reached[-1]
    return last**2 <= penalty.remaining * (before - last)


def _softmax_loss(scores: np.ndarray, targets: np.ndarray, counts: np.ndarray | None) -> float:
    """Return the summed loss, and turn scores (n, C) into its gradient in place."""
    rows = np.arange(len(targets))
    scores -= scores.max(axis=1, keepdims=True)
    own = scores[rows, targets]
    np.exp(scores, out=scores)
    sums = scores.sum(axis=1, keepdims=True)
    losses = np.log(sums[:, 0]) - own
    scores /= sums
    scores[rows, targets] -= 1
    if counts is not None:
        scores *= counts[:, np.newaxis]
        losses = losses * counts
    return float(losses.sum(dtype=np.float64))


def _sigmoid_loss(scores: np.ndarray, targets: np.ndarray, counts: np.ndarray | None) -> float:
    """Return the summed loss of all classes, and turn scores (n, C) into its gradient."""
    losses = np.logaddexp(0, scores) - np.where(targets, scores, 0)
    scores[...] = 0.5 * (1 + np.tanh(0.5 * scores)) - targets
    if counts is not None:
        scores *= counts[:, np.newaxis]
        losses = losses * counts[:, np.newaxis]
    return float(losses.sum(dtype=np.float64))


def sigmoid_entropy(
    scores: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the mean binary cross-entropy of sigmoids of scores (N, C), in nats."""
    losses = np.logaddexp(0, scores) - np.where(targets, scores, 0)
    return float(np.average(losses.mean(axis=1), weights=weights))
