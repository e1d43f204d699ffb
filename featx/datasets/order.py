"""In which order rows are read and given out, and by whom.

A pass gives every row once. Shuffled, the order has two levels: chunks of the store in random
order, and rows in random order within a buffer of some chunks. So the disk is read in pieces that
HDF5 decodes as a whole, each once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.datasets.options import BatchOptions


@dataclass(frozen=True, slots=True)
class Buffer:
    """Rows that are in memory together.

    Attributes:
        pieces: Rows that are near each other on the disk, in the order in which they are read.
        order: The order in which they are given out, of all pieces one after the other; as they
            are when None.
    """

    pieces: list[np.ndarray]
    order: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows grouped by the chunk of the store that holds them.

    Attributes:
        rows: int64 (N,), as they lie on the disk.
        starts: int64 (B + 1,), the first position of each block in `rows`, and the end of the last.
    """

    rows: np.ndarray
    starts: np.ndarray

    @classmethod
    def group(cls, part: np.ndarray, row: np.ndarray, chunk_rows: int) -> Blocks:
        """Group rows by where they are.

        Args:
            part: int (N,), the file of each row.
            row: int64 (N,), its row in that file.
            chunk_rows: Rows of a chunk.

        Example:
            >>> blocks = Blocks.group(np.zeros(5, int), np.array([9, 0, 1, 3, 2]), 2)
            >>> blocks.rows, blocks.starts
            (array([1, 2, 4, 3, 0]), array([0, 2, 4, 5]))
        """
        rows = np.lexsort((row, part))
        chunk = row[rows] // chunk_rows
        breaks = (np.diff(part[rows]) != 0) | (np.diff(chunk) != 0)
        starts = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(rows)]])
        return cls(rows, starts if len(rows) else starts[:1])


@dataclass(frozen=True, slots=True)
class Share:
    """The batches that one reader of a pass gives out.

    Attributes:
        first: The first row of its shard, in the order of the pass.
        num_rows: Rows of its shard.
        batch_size: Rows of a batch.
        worker: Its number among the workers of its shard, from 0.
        num_workers: Their number.
    """

    first: int
    num_rows: int
    batch_size: int
    worker: int = 0
    num_workers: int = 1

    @classmethod
    def of(cls, total: int, options: BatchOptions, worker: int = 0, num_workers: int = 1) -> Share:
        """Return the share of a worker.

        Example:
            >>> share = Share.of(10, BatchOptions(batch_size=2, shard=(2, 3)))
            >>> share.first, share.num_rows, share.num_batches
            (3, 3, 2)
        """
        number, count = options.shard or (1, 1)
        first, end = total * (number - 1) // count, total * number // count
        if options.drop_last:  # Equally many in every shard.
            end = first + total // count // options.batch_size * options.batch_size
        return cls(first, end - first, options.batch_size, worker, num_workers)

    @property
    def num_batches(self) -> int:
        """Batches of the shard, that is of all its workers."""
        return -(-self.num_rows // self.batch_size)

    def span(self) -> tuple[int, int]:
        """Return the range of rows of the worker's own batches, where these are consecutive."""
        first, end = (
            self.num_batches * number // self.num_workers * self.batch_size
            for number in (self.worker, self.worker + 1)
        )
        return self.first + first, self.first + min(end, self.num_rows)


def shuffle_blocks(
    blocks: Blocks, share: Share, seed: tuple[int, int], buffer_rows: int
) -> Iterator[Buffer]:
    """Yield a worker's rows in a random order.

    Args:
        blocks: All rows.
        share: Which of them are the worker's.
        seed: Seed and number of the pass.
        buffer_rows: Rows that are permuted together.
    """
    sizes = np.diff(blocks.starts)
    order = np.random.default_rng(seed).permutation(len(sizes))
    ends = np.cumsum(sizes[order])
    begins = ends - sizes[order]
    first, end = share.span()
    mixing = np.random.default_rng((*seed, first))
    spans: list[tuple[int, int]] = []
    count = 0
    for place in np.flatnonzero((begins < end) & (ends > first)).tolist():
        offset = int(blocks.starts[order[place]] - begins[place])
        # A block at the border of two shares is read by both.
        spans.append((offset + max(first, begins[place]), offset + min(end, ends[place])))
        count += spans[-1][1] - spans[-1][0]
        if count >= buffer_rows:
            yield _mix(blocks, spans, mixing)
            spans, count = [], 0
    if spans:
        yield _mix(blocks, spans, mixing)


def _mix(blocks: Blocks, spans: list[tuple[int, int]], mixing: np.random.Generator) -> Buffer:
    pieces = [blocks.rows[first:end] for first, end in sorted(spans)]  # As they lie on the disk.
    return Buffer(pieces, mixing.permutation(sum(map(len, pieces))))


def follow_rows(share: Share, row: np.ndarray, read_rows: int) -> Iterator[Buffer]:
    """Yield a worker's rows in the order of the store, in pieces to be read at a time.

    Several workers take turns in batches, as they are asked by turns: so their batches come in
    order. One worker reads whole chunks, or batches if these are larger.

    Args:
        share: Which rows are the worker's.
        row: int64 (N,), where all rows are in the store, ascending.
        read_rows: Rows of the store to be read at a time.
    """
    end = share.first + share.num_rows
    if share.num_workers > 1 or share.batch_size >= read_rows:
        step = share.batch_size
        for first in range(share.first + share.worker * step, end, share.num_workers * step):
            yield Buffer([np.arange(first, min(first + step, end))])
        return
    breaks = np.flatnonzero(np.diff(row[share.first : end] // read_rows)) + 1 + share.first
    for first, stop in zip([share.first, *breaks], [*breaks, end], strict=True):
        yield Buffer([np.arange(first, stop)])
