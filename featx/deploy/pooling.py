"""Pooling in operations of Keras, as `featx.poolings` computes it in NumPy."""

from __future__ import annotations

import math
from typing import Any

from featx.errors import HeadError
from featx.poolings.spatial import GEM_EXPONENT, GEM_FLOOR


def add_pooling(maps: Any, pool: str) -> Any:
    """Reduce maps to vectors.

    Args:
        maps: float32 (B, ..., C), channels last; vectors (B, C) are left as they are.
        pool: A pooling that makes vectors.

    Returns:
        float32 (B, D).

    Raises:
        HeadError: If it is the pooling of an add-on.
    """
    from keras import ops

    shape = tuple(maps.shape)
    if len(shape) == 2:
        return maps
    space = tuple(range(1, len(shape) - 1))
    if pool == "avg":
        return ops.mean(maps, axis=space)
    if pool == "max":
        return ops.max(maps, axis=space)
    if pool == "gem":
        powers = ops.power(ops.maximum(maps, GEM_FLOOR), GEM_EXPONENT)
        return ops.power(ops.mean(powers, axis=space), 1.0 / GEM_EXPONENT)
    if pool == "flatten":
        return ops.reshape(maps, (-1, math.prod(shape[1:])))
    raise HeadError(
        f"The pooling {pool!r} belongs to an add-on, and is computed in NumPy only: heads on it "
        "cannot be exported."
    )
