"""Multinomial logistic regression on standardised features, by scikit-learn's L-BFGS."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

REGULARISATIONS = tuple(10.0**exponent for exponent in range(-5, 2))
"""Inverse strengths C that are tried. For standardised features of some hundred to a few
thousand dimensions the best lies well inside this range."""

NUM_FOLDS = 3

SMALL_PROBLEM = 500_000_000
"""Multiplications of one pass over the data (N x D x C) up to which one thread is used. A pass
then takes milliseconds: more threads gain little, and where another program uses the cores they
wait for each other at every step (measured: 44 s instead of 3 s)."""

MAX_ITERATIONS = 1000


def fit(
    values: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Fit the head, choosing the regularisation by cross-validation on these rows alone.

    Args:
        values: Feature vectors, (N, D).
        targets: Class numbers, (N,), each of 0 ... num_classes - 1 present.
        num_classes: C, at least 2.
        seed: For the folds.
        groups: Group numbers, (N,), equal for identical files, which then share a fold; each
            row is its own when None.

    Returns:
        The weights ``mean`` (D,), ``scale`` (D,), ``coefficients`` (C, D), ``intercepts``
        (C,), and what was chosen: ``C`` and ``folds`` (0: too few examples to compare).
    """
    with _threads_for(values.size * num_classes):
        return _fit(values, targets, num_classes, seed, groups)


def _fit(
    values: np.ndarray,
    targets: np.ndarray,
    num_classes: int,
    seed: int,
    groups: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.preprocessing import StandardScaler

    standardised = StandardScaler().fit_transform(values)
    groups = np.arange(len(targets)) if groups is None else groups
    pairs = np.unique(np.stack([targets, groups]), axis=1)
    folds = min(NUM_FOLDS, int(np.bincount(pairs[0], minlength=num_classes).min()))
    strength = 1.0
    if folds >= 2:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        losses = np.zeros(len(REGULARISATIONS))
        compared = 0
        for train, test in splitter.split(standardised, targets, groups):
            if len(np.unique(targets[train])) < 2:
                continue  # Copies with different labels can leave a fold with one class.
            compared += 1
            classifier = LogisticRegression(warm_start=True, max_iter=MAX_ITERATIONS)
            for number, candidate in enumerate(REGULARISATIONS):
                classifier.set_params(C=candidate)
                classifier.fit(standardised[train], targets[train])
                probabilities = np.zeros((len(test), num_classes))
                seen = classifier.classes_  # Grouping may leave a class out of a fold.
                probabilities[:, seen] = classifier.predict_proba(standardised[test])
                own = probabilities[np.arange(len(test)), targets[test]]
                losses[number] -= np.log(np.maximum(own, 1e-12)).sum()
        folds = compared
        if compared:
            strength = REGULARISATIONS[int(losses.argmin())]
    else:
        folds = 0
    settings = {"C": strength, "folds": folds}
    return refit(values, targets, num_classes, settings), settings


def refit(
    values: np.ndarray, targets: np.ndarray, num_classes: int, settings: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Fit the head with settings that were chosen before; see `fit`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(values)
    classifier = LogisticRegression(C=settings["C"], max_iter=MAX_ITERATIONS)
    with _threads_for(values.size * num_classes):
        classifier.fit(scaler.transform(values), targets)
    coefficients, intercepts = classifier.coef_, classifier.intercept_
    if num_classes == 2:
        # scikit-learn keeps one logit z for two classes; softmax(-z/2, z/2) = sigmoid(z).
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    return {
        "mean": np.asarray(scaler.mean_, np.float32),
        "scale": np.asarray(scaler.scale_, np.float32),
        "coefficients": np.asarray(coefficients, np.float32),
        "intercepts": np.asarray(intercepts, np.float32),
    }


def _threads_for(multiplications: int) -> AbstractContextManager[Any]:
    """Keep numerical libraries to one thread where more would cost time."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(
        1 if multiplications <= SMALL_PROBLEM else None
    )
    return limits


def predict(weights: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return class probabilities (N, C), float32; NumPy alone.

    Example:
        >>> weights = {"mean": np.zeros(1), "scale": np.ones(1),
        ...            "coefficients": np.array([[0.0], [0.0]]), "intercepts": np.zeros(2)}
        >>> predict(weights, np.array([[3.0]])).tolist()
        [[0.5, 0.5]]
    """
    standardised = (values - weights["mean"]) / weights["scale"]
    logits = standardised @ weights["coefficients"].T + weights["intercepts"]
    logits -= logits.max(axis=1, keepdims=True)  # exp of large logits would overflow
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)
