"""Which rows of features can be computed with, in float32."""

from __future__ import annotations

import numpy as np

LARGEST = 1e15
"""Largest magnitude of a value: its square, 1e30, can be added up over 10^8 values in float32."""

UNUSABLE = "NaN, infinite or above 1e15"
"""What is wrong with the features of the others, in messages."""


def find_usable(values: np.ndarray) -> np.ndarray:
    """Return which rows have finite values of a magnitude up to `LARGEST`.

    Args:
        values: Features, (N, D).

    Returns:
        bool (N,).

    Example:
        >>> find_usable(np.array([[1.0, 2.0], [np.nan, 0.0], [1e19, -1e19]])).tolist()
        [True, False, False]
    """
    least = values.min(axis=1, initial=0)
    return np.asarray(np.maximum(values.max(axis=1, initial=0), -least) <= LARGEST)
