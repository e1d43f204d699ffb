"""Layers of some rows, in memory that is used again as soon as nobody has it any more.

Fresh memory costs as much as reading into it: the system clears each page of it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from threading import Lock

import numpy as np

ALIGNMENT = 64
"""Bytes: TensorFlow and Arrow take arrays that begin at a multiple of this without a copy."""

MOST_KEPT = 6
"""Blocks that are kept for each layer. Of those for buffers, one is filled, one given out, and one
may still be in use; as many are smaller, for what is read of a chunk."""

_unused = [np.empty(0)]

UNUSED = sys.getrefcount(_unused[0])
"""References to an array that only a list has, as this call counts them."""


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


class RowMemory:
    """Gives memory for rows. Whoever has a part of an array has the block that it is in."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._lock = Lock()

    def take(self, like: Batch, count: int) -> Batch:
        """Return memory for a number of rows, which holds anything.

        Args:
            like: A batch of such rows, which may be empty.
            count: How many.
        """
        layers = {}
        with self._lock:
            for name, values in like.layers.items():
                shape = (count, *values.shape[1:])
                size = int(np.prod(shape)) * values.itemsize
                block = self._find_block(size + ALIGNMENT)
                start = -block.ctypes.data % ALIGNMENT
                layers[name] = block[start : start + size].view(values.dtype).reshape(shape)
            del self._blocks[: -MOST_KEPT * len(layers)]
        return Batch(np.empty(count, np.int64), layers)

    def _find_block(self, size: int) -> np.ndarray:
        """Return a block of about that size that nobody uses, or else a new one."""
        for number in range(len(self._blocks)):
            # Arrays refer to the block that they are a part of, also those of other libraries that
            # have not copied it.
            is_unused = sys.getrefcount(self._blocks[number]) == UNUSED
            if is_unused and size <= self._blocks[number].nbytes <= 2 * size:
                return self._blocks[number]
        self._blocks.append(np.empty(size, np.uint8))
        return self._blocks[-1]
