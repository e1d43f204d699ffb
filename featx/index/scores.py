"""Scores as people read them: cosines, inner products, distances; and which of them are wanted."""

from __future__ import annotations

import math

import numpy as np

from featx.errors import InvalidValue
from featx.index.options import Metric
from featx.wording import option

SCORE_ROUNDING = 1e-6
"""How far float32 may leave the cosine of two equal vectors from 1."""


def show_scores(found: np.ndarray, metric: Metric) -> np.ndarray:
    """Return scores for people: cosines in [-1, 1], inner products, or distances.

    Args:
        found: What an index finds: the larger the better; of ``l2`` squared distances with their
            sign turned.
        metric: How vectors are compared.
    """
    if metric == "cosine":
        return np.asarray(np.clip(found, -1, 1))  # Rounding may leave 1.0000004.
    if metric == "ip":
        return found
    return np.asarray(np.sqrt(np.maximum(-found, 0)))


def is_wanted(score: float, threshold: float | None, metric: Metric) -> bool:
    """Whether a score for people reaches a threshold; a distance may be as large at most."""
    if threshold is None:
        return True
    if metric == "l2":
        return score <= threshold + SCORE_ROUNDING
    return score >= threshold - SCORE_ROUNDING


def check_threshold(threshold: float | None, metric: Metric) -> None:
    """Refuse a threshold that nothing can reach.

    Raises:
        InvalidValue: If it is none.

    Example:
        >>> check_threshold(2.0, "cosine")
        Traceback (most recent call last):
        ...
        featx.errors.InvalidValue: A cosine similarity is from -1 to 1. Received: threshold=2.0.
    """
    if threshold is None:
        return
    if metric == "cosine":
        kind, is_possible = "A cosine similarity is from -1 to 1", threshold <= 1
    elif metric == "l2":
        kind, is_possible = "This index compares by distance, which is 0 or more", threshold >= 0
    else:
        kind, is_possible = "An inner product is a number", not math.isnan(threshold)
    if not is_possible:
        raise InvalidValue(f"{kind}. Received: {option('threshold', threshold)}.")
