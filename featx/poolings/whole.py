"""Poolings that keep every value: maps as they are, or as one long vector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Unpooled:
    """Keeps maps as they are."""

    gives_vectors = False

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the same shape."""
        return shape

    def pool(self, maps: np.ndarray) -> np.ndarray:
        """Return the same maps in float32."""
        return maps.astype("float32", copy=False)


class Flattened:
    """Writes the values of a map one after the other, the channels of a position together."""

    gives_vectors = True

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (D,), D being the number of values in a map."""
        return (math.prod(shape),)

    def pool(self, maps: np.ndarray) -> np.ndarray:
        """Return float32 (B, D)."""
        length = math.prod(maps.shape[1:])  # Not -1: a batch may be empty.
        return maps.reshape(len(maps), length).astype("float32", copy=False)


unpooled = Unpooled()
flattened = Flattened()
