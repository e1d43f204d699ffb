"""Multinomial logistic regression on standardised features, by scikit-learn's L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from featx.heads.kinds import Choice, Examples, FitJob, Task
from featx.heads.operations import Affine, Operation, Softmax, Standardise

REGULARISATIONS = tuple(10.0**exponent for exponent in range(-5, 2))
"""Inverse strengths C that are tried. For standardised features of some hundred to a few
thousand dimensions the best is well inside this range."""

NUM_FOLDS = 3

SMALL_PROBLEM = 500_000_000
"""Multiplications of one pass over the data (N x D x C) up to which one thread is used. A pass
then takes milliseconds: more threads gain little, and where another program uses the cores they
wait for each other at every step (measured: 44 s instead of 3 s)."""

MAX_ITERATIONS = 1000


class LinearHead:
    """Logistic regression, its regularisation chosen by cross-validation.

    The weights are ``mean`` (D,), ``scale`` (D,), ``coefficients`` (C, D) and ``intercepts``
    (C,); the settings ``C`` (inverse strength) and ``folds`` (0: too few examples to compare).
    """

    tasks: tuple[Task, ...] = ("single",)

    def suits(self, examples: Examples) -> bool:
        """Return True."""
        return True

    def choose(self, examples: Examples, job: FitJob) -> Choice:
        """Choose the regularisation; see `featx.heads.kinds.HeadKind.choose`."""
        with _threads_for(examples):
            return _choose(examples, job)

    def fit(
        self, examples: Examples, settings: Mapping[str, Any], job: FitJob
    ) -> dict[str, np.ndarray]:
        """Fit with a known regularisation; see `featx.heads.kinds.HeadKind.fit`."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(examples.values)
        classifier = LogisticRegression(C=settings["C"], max_iter=MAX_ITERATIONS)
        with _threads_for(examples):
            classifier.fit(scaler.transform(examples.values), examples.targets)
        coefficients, intercepts = classifier.coef_, classifier.intercept_
        if examples.num_classes == 2:
            # scikit-learn keeps one logit z for two classes; softmax(-z/2, z/2) = sigmoid(z).
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        return {
            "mean": np.asarray(scaler.mean_, np.float32),
            "scale": np.asarray(scaler.scale_, np.float32),
            "coefficients": np.asarray(coefficients, np.float32),
            "intercepts": np.asarray(intercepts, np.float32),
        }

    def operations(self, weights: Mapping[str, np.ndarray]) -> tuple[Operation, ...]:
        """Standardise, then softmax of an affine map."""
        return (
            Standardise(weights["mean"], weights["scale"]),
            Affine(weights["coefficients"], weights["intercepts"]),
            Softmax(),
        )


linear = LinearHead()


def _choose(examples: Examples, job: FitJob) -> Choice:
    """Choose the regularisation by cross-validation; identical files share a fold."""
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.preprocessing import StandardScaler

    targets, groups = examples.targets, examples.groups
    pairs = np.unique(np.stack([targets, groups]), axis=1)
    folds = min(NUM_FOLDS, int(np.bincount(pairs[0], minlength=examples.num_classes).min()))
    if folds < 2:
        return Choice({"C": 1.0, "folds": 0})
    standardised = StandardScaler().fit_transform(examples.values)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=job.seed)
    losses = np.zeros(len(REGULARISATIONS))
    compared = num_held_out = 0
    for train, test in splitter.split(standardised, targets, groups):
        if len(np.unique(targets[train])) < 2:
            continue  # Copies with different labels can leave a fold with one class.
        compared += 1
        num_held_out += len(test)
        job.listener.trying(f"linear, fold {compared} of {folds}")
        losses += _losses(standardised, examples, train, test)
    if not compared:
        return Choice({"C": 1.0, "folds": 0})
    best = int(losses.argmin())
    settings = {"C": REGULARISATIONS[best], "folds": compared}
    return Choice(settings, float(losses[best]) / num_held_out, num_held_out=num_held_out)


def _losses(
    standardised: np.ndarray, examples: Examples, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Return the cross-entropy of one fold for each of `REGULARISATIONS`."""
    from sklearn.linear_model import LogisticRegression

    targets = examples.targets
    losses = np.zeros(len(REGULARISATIONS))
    classifier = LogisticRegression(warm_start=True, max_iter=MAX_ITERATIONS)
    for number, candidate in enumerate(REGULARISATIONS):
        classifier.set_params(C=candidate)
        classifier.fit(standardised[train], targets[train])
        probabilities = np.zeros((len(test), examples.num_classes))
        seen = classifier.classes_  # Grouping may leave a class out of a fold.
        probabilities[:, seen] = classifier.predict_proba(standardised[test])
        own = probabilities[np.arange(len(test)), targets[test]]
        losses[number] = -np.log(np.maximum(own, 1e-12)).sum()
    return losses


def _threads_for(examples: Examples) -> AbstractContextManager[Any]:
    """Keep numerical libraries to one thread where more would cost time."""
    from threadpoolctl import threadpool_limits

    multiplications = examples.values.size * examples.num_classes
    limits: AbstractContextManager[Any] = threadpool_limits(
        1 if multiplications <= SMALL_PROBLEM else None
    )
    return limits
