"""Reading a pass over a data set: buffers of rows, cut into batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from featx.datasets.options import BatchOptions
from featx.datasets.order import Blocks, Buffer, Share, follow_rows, shuffle_blocks
from featx.store.writing import CHUNK_BYTES

if TYPE_CHECKING:
    from featx.datasets.feature_dataset import FeatureDataset

Item = TypeVar("Item")

BUFFER_BYTES = 64 << 20
"""Bytes of rows that are permuted together, unless another number of rows is asked for."""

PIECE_BYTES = 32 << 20
"""Most bytes, as stored, of the rows that are read at a time, whatever the chunks of layers are."""

SEQUENTIAL_BYTES = 8 << 20
"""Bytes, as stored, that are read at a time in the order of the store: far more than a chunk, of
which a part would be decoded twice."""


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

    def enlarge(self, count: int) -> Batch:
        """Return memory for a number of such rows."""
        return Batch(
            np.empty(count, np.int64),
            {n: np.empty((count, *a.shape[1:]), a.dtype) for n, a in self.layers.items()},
        )

    def put(self, start: int, other: Batch) -> None:
        """Replace the rows from one on by others."""
        end = start + len(other)
        self.rows[start:end] = other.rows
        for name, values in other.layers.items():
            self.layers[name][start:end] = values

    def pick(self, numbers: np.ndarray) -> Batch:
        """Return rows by their numbers, copied."""
        return Batch(
            self.rows[numbers], {n: array.take(numbers, 0) for n, array in self.layers.items()}
        )

    def join(self, other: Batch) -> Batch:
        """Return these rows and then others, copied."""
        return Batch(
            np.concatenate([self.rows, other.rows]),
            {n: np.concatenate([array, other.layers[n]]) for n, array in self.layers.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Rows in memory, of which batches are made.

    Attributes:
        rows: The rows.
        order: The order in which they are given out, copied; as they are when None.
    """

    rows: Batch
    order: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows if self.order is None else self.order)

    def take(self, first: int, end: int) -> Batch:
        """Return some of them."""
        if self.order is None:
            return self.rows.cut(first, end)
        return self.rows.pick(self.order[first:end])


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
        if options.shuffle:
            blocks = Blocks.group(*_locate(own), sizes.piece_rows)
            buffer_rows = options.buffer_rows or sizes.buffer_rows
            buffers = shuffle_blocks(blocks, share, (options.seed, epoch), buffer_rows)
            loaded = _read_ahead(thread, _Memory(own).load, buffers)
        else:
            pieces = follow_rows(share, own.choice.rows, sizes.read_rows)
            loaded = _read_ahead(thread, lambda piece: Loaded(own.read(piece)), pieces)
        yield from cut_batches(loaded, share.batch_size)


def _read_ahead(
    thread: ThreadPoolExecutor, read: Callable[[Item], Loaded], items: Iterable[Item]
) -> Iterator[Loaded]:
    """Yield what is read of each item; the next one is being read meanwhile."""
    coming: Future[Loaded] | None = None
    for item in items:
        following = thread.submit(read, item)
        if coming is not None:
            yield coming.result()
        coming = following
    if coming is not None:
        yield coming.result()


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


class _Memory:
    """Memory for two buffers, one of which is given out while the other is filled.

    It serves for all buffers of a pass: fresh memory costs as much as reading into it.
    """

    def __init__(self, data: FeatureDataset) -> None:
        self._data = data
        self._filled: Batch | None = None
        self._given: Batch | None = None

    def load(self, buffer: Buffer) -> Loaded:
        """Read the rows of a buffer."""
        count = sum(map(len, buffer.pieces))
        memory, self._given = self._given, self._filled
        if memory is None or len(memory) < count:
            memory = self._data.read(np.empty(0, np.int64)).enlarge(count)
        start = 0
        for piece in buffer.pieces:
            memory.put(start, self._data.read(piece))
            start += len(piece)
        self._filled = memory
        return Loaded(memory, buffer.order)


def cut_batches(pieces: Iterable[Loaded], size: int) -> Iterator[Batch]:
    """Yield batches; one that does not end with a piece goes on in the next."""
    rest: Batch | None = None
    for piece in pieces:
        first = 0
        for end in range(size - (0 if rest is None else len(rest)), len(piece) + size, size):
            batch = piece.take(first, min(end, len(piece)))
            rest = batch if rest is None else rest.join(batch)
            if len(rest) == size:
                yield rest
                rest = None
            first = end
    if rest is not None:
        yield rest
