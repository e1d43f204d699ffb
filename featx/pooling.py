"""Pooling of feature maps into vectors, in NumPy alone."""

from __future__ import annotations

import math

import numpy as np

from featx.errors import DimensionMismatch
from featx.specs import POOLING_NAMES, Pooling, check_choice

GEM_EXPONENT = 3.0
"""Exponent of generalised-mean pooling: the value that Radenović, Tolias and Chum fix or start
from in "Fine-tuning CNN Image Retrieval with No Human Annotation" (2018), section 3.2."""

GEM_FLOOR = 1e-6
"""Smallest activation that generalised-mean pooling sees (same paper's reference code)."""


def pool_features(values: np.ndarray, pooling: Pooling) -> np.ndarray:
    """Reduce feature maps to what a store, a head or an index keeps.

    ``avg`` is what `GlobalAveragePooling2D` computes, so pooling the last map of a network
    with a global-average head reproduces that layer. Everything between the first and the
    last axis counts as space: (B, h, w, C) maps and (B, tokens, C) sequences alike.

    Args:
        values: Shape (B, ..., C). Means are accumulated in float64: float16 would overflow
            (a sum over 112 x 112 positions can pass 65504), float32 lose digits.
        pooling: ``none`` keeps the shape; ``flatten`` gives (B, D) with everything;
            ``avg``, ``max`` and ``gem`` (generalised mean, exponent 3) give (B, C).

    Returns:
        float32 array. Input of shape (B, C) counts as already pooled and is only cast.

    Raises:
        UnknownName: If `pooling` is not one of the five names.
        DimensionMismatch: If `values` has no batch axis and feature axis.

    Example:
        >>> pool_features(np.ones((2, 7, 7, 3), np.float16), "avg").shape
        (2, 3)
    """
    check_choice("pooling", pooling, POOLING_NAMES)
    if values.ndim < 2:
        raise DimensionMismatch(
            "Pooling needs arrays of shape (B, ..., C): a batch axis and a feature axis. "
            f"Received: shape={values.shape}."
        )
    if pooling == "none":
        return np.asarray(values, dtype=np.float32)
    if pooling == "flatten":
        length = math.prod(values.shape[1:])  # not -1: a batch may be empty
        return values.reshape(len(values), length).astype(np.float32, copy=False)
    if values.ndim == 2:
        return values.astype(np.float32, copy=False)
    space = tuple(range(1, values.ndim - 1))
    if pooling == "max":
        return np.asarray(values.max(axis=space), dtype=np.float32)
    if pooling == "avg":
        return np.asarray(values.mean(axis=space, dtype=np.float64), dtype=np.float32)
    powers = np.maximum(values.astype(np.float32, copy=False), GEM_FLOOR) ** GEM_EXPONENT
    means = powers.mean(axis=space, dtype=np.float64)
    return np.asarray(means ** (1.0 / GEM_EXPONENT), dtype=np.float32)


def pooled_shape(shape: tuple[int, ...], pooling: Pooling) -> tuple[int, ...]:
    """Return the shape of one row after pooling rows of `shape`.

    Example:
        >>> pooled_shape((7, 7, 512), "avg"), pooled_shape((7, 7, 512), "flatten")
        ((512,), (25088,))
    """
    check_choice("pooling", pooling, POOLING_NAMES)
    if pooling == "none" or len(shape) == 1:
        return shape
    if pooling == "flatten":
        return (math.prod(shape),)
    return shape[-1:]
