"""Memory for rows that are read, used again as soon as nobody has it any more.

Fresh memory costs as much as reading into it: the system clears each page of it.
"""

from __future__ import annotations

import sys

import numpy as np

from featx.datasets.batch import Batch

ALIGNMENT = 64
"""Bytes: TensorFlow and Arrow take arrays that begin at a multiple of this without a copy."""

MOST_KEPT = 4
"""Blocks of each layer that are kept: one is filled, one given out, others may still be in use."""

_unused = [np.empty(0)]

UNUSED = sys.getrefcount(_unused[0])
"""References to an array that only a list has, as this call counts them."""


class RowMemory:
    """Gives memory for rows; whoever has a part of an array has the block that it is in.

    Args:
        like: A batch of such rows, which may be empty.
    """

    def __init__(self, like: Batch) -> None:
        self._like = like
        self._blocks: dict[str, list[np.ndarray]] = {name: [] for name in like.layers}

    def take(self, count: int) -> Batch:
        """Return memory for a number of rows, which holds anything."""
        layers = {}
        for name, values in self._like.layers.items():
            shape = (count, *values.shape[1:])
            size = int(np.prod(shape)) * values.itemsize
            block = _find_block(self._blocks[name], size)
            start = -block.ctypes.data % ALIGNMENT
            layers[name] = block[start : start + size].view(values.dtype).reshape(shape)
        return Batch(np.empty(count, np.int64), layers)


def _find_block(blocks: list[np.ndarray], size: int) -> np.ndarray:
    """Return a block that nobody uses, or else a new one."""
    for number in range(len(blocks)):
        # Arrays refer to the block that they are a part of, also those of other libraries that have
        # not copied it.
        is_unused = sys.getrefcount(blocks[number]) == UNUSED
        if is_unused and blocks[number].nbytes >= size + ALIGNMENT:
            return blocks[number]
    block = np.empty(size + ALIGNMENT, np.uint8)
    blocks.append(block)
    if len(blocks) > MOST_KEPT:
        del blocks[0]
    return block
