"""Ridge regression on class indicators, or on a number: closed form, one pass over the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featx.heads.calibration import choose_temperature
from featx.heads.design import make_design
from featx.heads.folds import make_folds
from featx.heads.kinds import Choice, Examples, FitJob, Task
from featx.heads.moments import Moments, find_moments, held_out_scores
from featx.heads.operations import Affine, Operation, Softmax, Standardise
from featx.heads.threads import threads_for

RELATIVE_STRENGTHS = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 5))
"""Penalties that are tried, each over the number of examples: so they compare with the variance
of a standardised value, which is 1."""

DEFAULT_RELATIVE, DEFAULT_TEMPERATURE = 1.0, 0.1
"""Of too few examples to compare any."""


class RidgeHead:
    """Least squares with a squared penalty, as scikit-learn's Ridge on standardised features.

    Of classes, it fits 1 for the own class and 0 for the others; softmax of the scores over a
    temperature, which is chosen on held-out rows, gives probabilities. The weights are those of
    a `linear` head, the temperature in them, and ``number`` of a regression; the settings
    ``alpha`` (the penalty), ``temperature`` and ``folds``.
    """

    tasks: tuple[Task, ...] = ("single", "regression")

    def suits(self, examples: Examples) -> bool:
        """Whether all products of two values fit into memory."""
        return suits_moments(examples)

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose penalty and temperature; see `featx.heads.kinds.HeadKind.choose`."""
        folds = make_folds(examples, job.seed)
        if not folds.count:
            alpha = DEFAULT_RELATIVE * float(examples.counts.sum())
            is_number = examples.task == "regression"
            given = {} if is_number else {"temperature": DEFAULT_TEMPERATURE}
            return Choice({"alpha": alpha, **given, "folds": 0})
        job.listener.trying(f"ridge, {len(examples):,} examples")
        with threads_for(examples):
            design = make_design(examples)
            total, parts = find_moments(design, folds)
            held_out, best = examples.take(folds.held_out), Choice({})
            for relative in RELATIVE_STRENGTHS:
                alpha = relative * total.count
                maps = [solve(total - part, alpha) for part in parts]
                found = _describe(held_out_scores(design, folds, maps), held_out)
                if best.loss is None or (found.loss is not None and found.loss < best.loss):
                    settings = {"alpha": alpha, **found.settings, "folds": folds.count}
                    best = Choice(settings, found.loss, found.accuracy, found.num_held_out)
        return best

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Fit with a known penalty; see `featx.heads.kinds.HeadKind.fit`."""
        job.listener.trying(f"ridge, {len(examples):,} examples")
        with threads_for(examples):
            design = make_design(examples)
            coefficients, intercepts = solve(find_moments(design)[0], settings["alpha"])
        if examples.task == "regression":
            return design.weights(coefficients, intercepts) | {"number": np.array(True)}
        factor = 1 / settings["temperature"]
        return design.weights(factor * coefficients, factor * intercepts)

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Standardise, then an affine map, and softmax of classes."""
        affine = (
            Standardise(weights["mean"], weights["scale"]),
            Affine(weights["coefficients"], weights["intercepts"]),
        )
        return affine if "number" in weights else (*affine, Softmax())


ridge = RidgeHead()


def suits_moments(examples: Examples) -> bool:
    """Whether a kind that is fitted from `Moments` is quick enough to be tried unasked."""
    return bool(min(examples.values.shape) <= 4_096)


def solve(moments: Moments, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (K, R) and intercepts (K,) that minimise the penalised squares."""
    from scipy.linalg import cho_factor, cho_solve

    mean, target = moments.values / moments.count, moments.targets / moments.count
    matrix = moments.gram - np.outer(moments.values, mean)
    matrix[np.diag_indices_from(matrix)] += alpha
    cross = moments.cross - np.outer(moments.targets, mean)
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    coefficients = np.asarray(cho_solve(factor, cross.T, check_finite=False).T)
    return coefficients, target - coefficients @ mean


def _describe(scores: np.ndarray, held_out: Examples) -> Choice:
    """Return the loss of scores (n, K), with the best temperature of classes."""
    if held_out.task != "regression":
        return choose_temperature(scores, held_out)
    errors = scores[:, 0] - held_out.targets
    loss = float(np.average(np.square(errors), weights=held_out.weights))
    return Choice({}, loss, None, len(held_out))
