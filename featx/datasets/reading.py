"""Reading a pass over a data set: buffers of rows, cut into batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from featx.datasets.options import BatchOptions
from featx.datasets.order import Blocks, Buffer, Share, follow_rows, shuffle_blocks
from featx.datasets.row_batches import Batch, RowMemory
from featx.store.writing import CHUNK_BYTES

if TYPE_CHECKING:
    from featx.datasets.feature_dataset import FeatureDataset

BUFFER_BYTES = 64 << 20
"""Bytes of rows that are permuted together, unless another number of rows is asked for."""

PIECE_BYTES = 32 << 20
"""Most bytes, as stored, of the rows that are read at a time, whatever the chunks of layers are."""

SEQUENTIAL_BYTES = 8 << 20
"""Bytes, as stored, that are read at a time in the order of the store: far more than a chunk, of
which a part would be decoded twice."""


def iter_batches(
    data: FeatureDataset,
    options: BatchOptions,
    epoch: int = 0,
    worker: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Yield the batches of one pass, or of one of several workers that share it.

    While the rows of one buffer are given out, the next is read in a thread.

    Args:
        data: The rows.
        options: How they are divided.
        epoch: The number of the pass.
        worker: Number of the worker, from 0, and number of workers.
    """
    share = Share.of(len(data), options, *worker)
    if not share.num_rows:
        return
    with data.reopen() as own, ThreadPoolExecutor(1, "featx-rows") as thread:
        sizes = _Sizes.of(own)
        buffers: Iterator[Buffer]
        if options.shuffle:
            blocks = Blocks.group(*_locate(own), sizes.piece_rows)
            buffer_rows = options.buffer_rows or sizes.buffer_rows
            buffers = shuffle_blocks(blocks, share, (options.seed, epoch), buffer_rows)
        else:
            buffers = follow_rows(share, own.choice.rows, sizes.read_rows)
        size = min(share.batch_size, share.num_rows)
        windows = _read_ahead(thread, own, buffers)
        yield from map(own.memory.widen, _divide(windows, size, own.memory))


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """A buffer whose rows have been read.

    Attributes:
        rows: The rows, as they were read.
        order: The order in which they are given out; as they are when None.
    """

    rows: Batch
    order: np.ndarray | None


def _read_ahead(
    thread: ThreadPoolExecutor, data: FeatureDataset, buffers: Iterator[Buffer]
) -> Iterator[_Window]:
    """Yield buffers that have been read; while one is given out, the next is read."""
    like = data.read(np.empty(0, np.int64))

    def load(buffer: Buffer) -> _Window:
        rows = data.memory.take(like, sum(map(len, buffer.pieces)))
        start = 0
        for piece in buffer.pieces:
            data.read(piece, rows.cut(start, start + len(piece)))
            start += len(piece)
        return _Window(rows, buffer.order)

    coming = deque(thread.submit(load, buffer) for buffer in islice(buffers, 1))
    while coming:
        window = coming.pop().result()
        coming.extend(thread.submit(load, buffer) for buffer in islice(buffers, 1))
        yield window
        del window  # Its memory is that of the next but one.


def _divide(windows: Iterator[_Window], size: int, memory: RowMemory) -> Iterator[Batch]:
    """Yield batches: parts of a window where its rows are in order, otherwise copied from it."""
    batch: Batch | None = None
    filled = 0
    for window in windows:
        first, count = 0, len(window.rows)
        while first < count:
            end = min(first + size - filled, count)
            if window.order is None and end - first == size:
                yield window.rows.cut(first, end)
            else:
                batch = batch or memory.take(window.rows, size)
                batch.put(filled, window.rows, _choose(window.order, first, end))
                filled += end - first
            if batch is not None and filled == size:
                yield batch
                batch, filled = None, 0
            first = end
        del window  # Before the next one: its memory is used again.
    if batch is not None:
        yield batch.cut(0, filled)


def _choose(order: np.ndarray | None, first: int, end: int) -> slice | np.ndarray:
    return slice(first, end) if order is None else order[first:end]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Numbers of rows, by the bytes that they have.

    Attributes:
        read_rows: Rows that are read at a time in the order of the store, whole chunks.
        piece_rows: Rows that are read at a time in random order.
        buffer_rows: Rows that are permuted together.
    """

    read_rows: int
    piece_rows: int
    buffer_rows: int

    @classmethod
    def of(cls, data: FeatureDataset) -> _Sizes:
        item = np.dtype(data.store.header.dtype).itemsize
        shapes = [data.store.spec(layer).shape for layer in data.layers]
        stored = [max(1, math.prod(shape) * item) for shape in shapes]
        # Chunks of layers have different numbers of rows; a piece smaller than the largest chunk
        # would decode that one several times.
        chunk_rows = max(max(1, CHUNK_BYTES // size) for size in stored)
        piece_rows = max(1, min(chunk_rows, PIECE_BYTES // sum(stored)))
        row_bytes = sum(4 * math.prod(spec.shape) for spec in data.specs.values())
        return cls(
            read_rows=piece_rows * max(1, SEQUENTIAL_BYTES // (piece_rows * sum(stored))),
            piece_rows=piece_rows,
            buffer_rows=max(1, BUFFER_BYTES // max(1, row_bytes)),
        )


def _locate(data: FeatureDataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the file and the row in it of each row."""
    rows, row_map = data.choice.rows, data.store.row_map
    if row_map is None:
        return np.zeros(len(rows), np.int32), rows
    return row_map.part[rows], row_map.row[rows]
