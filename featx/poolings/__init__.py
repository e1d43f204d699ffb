"""Poolings: how the feature maps of a layer become what a store, a head or an index keeps.

Everything is NumPy alone, and NumPy is imported by the first pooling that is used.
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
