"""What computes chosen layers, whichever engine it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np

Results = dict[str, np.ndarray]
"""Layers by name: float32 (B, *layer shape)."""


class Network(Protocol):
    """Computes the layers that were chosen, for pixels as they are decoded."""

    @property
    def concurrency(self) -> int:
        """Batches that it computes at the same time."""
        ...

    @property
    def batch_size(self) -> int:
        """Images that are best given at a time."""
        ...

    def __call__(self, pixels: np.ndarray) -> Results:
        """Compute one batch."""
        ...
