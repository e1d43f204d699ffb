"""Reading a pass over a data set: buffers of rows, cut into batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Self

import numpy as np

from featx.datasets.options import BatchOptions
from featx.datasets.order import Blocks, Buffer, Share, follow_rows, shuffle_blocks
from featx.datasets.row_batches import Batch
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

    While one piece is given out, the next is read in a thread.

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
        pieces: Iterator[Buffer]
        if options.shuffle:
            blocks = Blocks.group(*_locate(own), sizes.piece_rows)
            buffer_rows = options.buffer_rows or sizes.buffer_rows
            pieces = shuffle_blocks(blocks, share, (options.seed, epoch), buffer_rows)
        else:
            pieces = follow_rows(share, own.choice.rows, sizes.read_rows)
        with _Loader(own, share.batch_size) as loader:
            yield from _read_ahead(thread, loader, pieces)


def _read_ahead(
    thread: ThreadPoolExecutor, loader: _Loader, pieces: Iterator[Buffer]
) -> Iterator[Batch]:
    """Yield batches; while those of one piece are given out, the next piece is read."""
    coming: deque[Future[Batch]] = deque()

    def read_next() -> None:
        if not coming:
            coming.extend(thread.submit(loader.load, piece) for piece in islice(pieces, 1))

    read_next()
    while coming:
        loaded = coming.pop().result()
        for first in range(0, len(loaded), loader.batch_size):
            yield loaded.cut(first, first + loader.batch_size)
            read_next()  # Not before: whoever has this batch has given up the memory of others.
        read_next()
    if len(loader.rest):
        yield loader.rest


class _Loader:
    """Reads pieces into memory, and cuts off what does not fill a batch: it goes before the next.

    Attributes:
        batch_size: Rows of a batch.
        rest: Rows that have not been given out yet.
    """

    def __init__(self, data: FeatureDataset, batch_size: int) -> None:
        self._data, self.batch_size = data, batch_size
        self._mover = ThreadPoolExecutor(1, "featx-mixing")
        self.rest = data.read(np.empty(0, np.int64))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._mover.shutdown()

    def load(self, piece: Buffer) -> Batch:
        """Return whole batches."""
        kept = len(self.rest)
        count = kept + sum(map(len, piece.pieces))
        loaded = self._data.memory.take(self.rest, count)
        loaded.put(slice(0, kept), self.rest)
        self._fill(loaded.cut(kept, count), piece)
        end = count // self.batch_size * self.batch_size
        self.rest = loaded.cut(end, count)
        return loaded.cut(0, end)

    def _fill(self, target: Batch, piece: Buffer) -> None:
        if piece.order is None:
            (rows,) = piece.pieces
            self._data.read(rows, target)
            return
        places = np.empty(len(target), np.int64)
        places[piece.order] = np.arange(len(target))
        start = 0
        moving: Future[None] | None = None
        for rows in piece.pieces:
            read = self._data.memory.take(target, len(rows))
            self._data.read(rows, read)
            if moving is not None:
                moving.result()
            # While the next chunk is read, the rows of this one go to their places.
            moving = self._mover.submit(target.put, places[start : start + len(rows)], read)
            start += len(rows)
        if moving is not None:
            moving.result()


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
