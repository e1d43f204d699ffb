"""Poolings: how the feature maps of a layer become what a store, a head or an index keeps.

Nothing here imports NumPy: help texts ask each pooling whether it makes vectors.
"""

from __future__ import annotations

from featx.poolings.pooling import (
    POOLINGS,
    Pooling,
    check_vector_pool,
    pool_features,
    pooled_shape,
    vector_poolings,
)

__all__ = [
    "POOLINGS",
    "Pooling",
    "check_vector_pool",
    "pool_features",
    "pooled_shape",
    "vector_poolings",
]
