"""Linear discriminant analysis with a shrunk covariance: closed form, two passes over the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from featx.heads.calibration import choose_temperature
from featx.heads.design import Design, make_design
from featx.heads.folds import make_folds
from featx.heads.kinds import Choice, Examples, FitJob, Task
from featx.heads.moments import Moments, find_moments, held_out_scores
from featx.heads.operations import Affine, Operation, Softmax, Standardise
from featx.heads.ridge import suits_moments
from featx.heads.threads import threads_for

ROUNDING = 1e-4
"""Share of the variance up to which that within classes is taken for none."""


class LdaHead:
    """Classes as normal distributions of one covariance, as in scikit-learn's
    LinearDiscriminantAnalysis, on standardised features.

    The covariance within the classes is shrunk towards a multiple of the identity by as much as
    Ledoit and Wolf (2004, "A well-conditioned estimator for large-dimensional covariance
    matrices") say. Its probabilities are too sure, so the scores are divided by a temperature,
    which is chosen on held-out rows. The weights are those of a `linear` head; the settings
    ``temperature`` and ``folds``.

    With ``shrinkage="auto"``, scikit-learn shrinks the covariance of each class by itself, and so
    by more: given the shrinkage that is found here as a number, it predicts the same.
    """

    tasks: tuple[Task, ...] = ("single",)

    def suits(self, examples: Examples) -> bool:
        """Whether all products of two values fit into memory."""
        return suits_moments(examples)

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose the temperature; see `featx.heads.kinds.HeadKind.choose`."""
        folds = make_folds(examples, job.seed)
        if not folds.count:
            # The scores of normal distributions grow with the number of values.
            return Choice({"temperature": 2 * examples.values.shape[1] ** 0.5, "folds": 0})
        job.listener.trying(f"lda, {len(examples):,} examples")
        with threads_for(examples):
            design = make_design(examples)
            total, parts = find_moments(design, folds)
            shrinkage = find_shrinkage(design, total)
            maps = [solve(total - part, shrinkage, _width(design)) for part in parts]
            scores = held_out_scores(design, folds, maps)
        found = choose_temperature(scores, examples.take(folds.held_out))
        return replace(found, settings={**found.settings, "folds": folds.count})

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Fit with a known temperature; see `featx.heads.kinds.HeadKind.fit`."""
        job.listener.trying(f"lda, {len(examples):,} examples")
        with threads_for(examples):
            design = make_design(examples)
            moments, _ = find_moments(design)
            shrinkage = find_shrinkage(design, moments)
            coefficients, intercepts = solve(moments, shrinkage, _width(design))
        factor = 1 / settings["temperature"]
        return design.weights(factor * coefficients, factor * intercepts)

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Standardise, then softmax of an affine map."""
        return (
            Standardise(weights["mean"], weights["scale"]),
            Affine(weights["coefficients"], weights["intercepts"]),
            Softmax(),
        )


lda = LdaHead()


def find_shrinkage(design: Design, moments: Moments) -> float:
    """Return the share of the identity, in [0, 1], by the formula of Ledoit and Wolf.

    As `sklearn.covariance.ledoit_wolf` of examples minus the mean of their class.
    """
    means, scatter = _within(moments)
    fourth = 0.0
    for values, block in design.blocks():
        lengths = np.square(values - means[block.targets]).sum(axis=1, dtype=np.float64)
        fourth += float(block.counts @ np.square(lengths))
    count, width = moments.count, _width(design)
    trace, squares = np.trace(scatter) / count, float(np.square(scatter).sum()) / count**2
    if trace <= 0:
        return 1.0
    error = (fourth / count - squares) / count
    distance = squares - trace**2 / width
    return float(np.clip(error / distance, 0, 1)) if distance > 0 else 1.0


def solve(moments: Moments, shrinkage: float, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients (C, R) and intercepts (C,) of the logarithms of the probabilities.

    Args:
        moments: Of the examples.
        shrinkage: The share of the identity.
        width: D, the number of values that the coordinates stand for.
    """
    from scipy.linalg import cho_factor, cho_solve

    means, scatter = _within(moments)
    variance = float(np.trace(scatter)) / moments.count / width
    overall = max(float(np.trace(moments.gram)) / moments.count / width, 1e-12)
    if variance <= ROUNDING * overall:  # As with one example of each class.
        scatter, shrinkage, variance = np.zeros_like(scatter), 1.0, overall
    matrix = (1 - shrinkage) / moments.count * scatter
    matrix[np.diag_indices_from(matrix)] += max(shrinkage, 1e-6) * variance
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    coefficients = np.asarray(cho_solve(factor, means.T, check_finite=False).T)
    priors = np.log(np.maximum(moments.targets, 1e-12) / moments.count)
    return coefficients, priors - np.einsum("cr,cr->c", coefficients, means) / 2


def _within(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of the classes (C, R), and the scatter around them (R, R)."""
    means = moments.cross / np.maximum(moments.targets, 1e-12)[:, np.newaxis]
    return means, moments.gram - moments.cross.T @ means


def _width(design: Design) -> int:
    return len(design.standard[0])
