"""Layers of some rows in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Layers of some rows.

    Attributes:
        rows: int64 (n,), their rows in the store.
        layers: Name → (n, *shape), float32, or float16 if they are stored so.
    """

    rows: np.ndarray
    layers: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, first: int, end: int) -> Batch:
        """Return some of the rows, without copying them."""
        return Batch(
            self.rows[first:end], {name: array[first:end] for name, array in self.layers.items()}
        )

    def put(self, places: slice | np.ndarray, other: Batch) -> None:
        """Replace rows by others."""
        self.rows[places] = other.rows
        for name, values in other.layers.items():
            self.layers[name][places] = values
