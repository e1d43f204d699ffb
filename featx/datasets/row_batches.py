"""Layers of some rows, in memory that is used again as soon as nobody has it any more.

Fresh memory costs as much as reading into it: the system clears each page of it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from threading import Lock

import numpy as np

from featx.datasets.half_floats import widen

ALIGNMENT = 64
"""Bytes: TensorFlow and Arrow take arrays that begin at a multiple of this without a copy."""

MOST_KEPT = 8
"""Blocks that are kept for each layer: of those for buffers, one is filled, one given out, and one
may still be in use; the others are for batches."""

_unused = [np.empty(0)]

UNUSED = sys.getrefcount(_unused[0])
"""References to an array that only a list has, as this call counts them."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Layers of some rows.

    Attributes:
        rows: int64 (n,), their rows in the store.
        layers: Name → (n, *shape), float32, or as they are read float16 if they are stored so.
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

    def put(self, first: int, other: Batch, chosen: slice | np.ndarray) -> None:
        """Replace rows from a place on by rows of another batch: a range, or any, int64 (m,)."""
        _copy(other.rows, chosen, self.rows[first:])
        for name, values in other.layers.items():
            _copy(values, chosen, self.layers[name][first:])


def _copy(values: np.ndarray, chosen: slice | np.ndarray, out: np.ndarray) -> None:
    if isinstance(chosen, slice):
        out[: chosen.stop - chosen.start] = values[chosen]
    else:  # With a mode, as NumPy otherwise makes another array first.
        np.take(values, chosen, axis=0, out=out[: len(chosen)], mode="clip")


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
        with self._lock:
            layers = {
                name: self._take_array((count, *values.shape[1:]), values.dtype)
                for name, values in like.layers.items()
            }
            del self._blocks[: -MOST_KEPT * len(layers)]
        return Batch(np.empty(count, np.int64), layers)

    def widen(self, batch: Batch) -> Batch:
        """Return a batch in float32: itself, if it is that."""
        narrow = {
            name: values for name, values in batch.layers.items() if values.dtype == np.float16
        }
        if not narrow:
            return batch
        with self._lock:
            wide = {
                name: self._take_array(values.shape, np.dtype(np.float32))
                for name, values in narrow.items()
            }
            del self._blocks[: -MOST_KEPT * len(batch.layers)]
        for name, values in narrow.items():
            widen(values, wide[name])
        return Batch(batch.rows, batch.layers | wide)

    def _take_array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        size = int(np.prod(shape)) * dtype.itemsize
        block = self._find_block(size + ALIGNMENT)
        start = -block.ctypes.data % ALIGNMENT
        return block[start : start + size].view(dtype).reshape(shape)

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
