"""The checksum that HDF5 puts behind a chunk, computed in two thirds of the time that HDF5 takes.

It is Fletcher's (1982), of words of 16 bits, as `H5_checksum_fletcher32` of HDF5 computes it: the
sum of the words w, and the sum of these sums, which is that of (N - i) w[i], both modulo 65,535.
Here words are added many at a time, as integers of 64 bits in a table: as i is a sum of multiples
of the row, the column and the place in an integer, sums of rows, columns and places are enough.
"""

from __future__ import annotations

import threading

import numpy as np

COLUMNS = 2048
"""Integers of 64 bits in a row of the table: few rows and columns beside what is in it."""

BLOCK_ROWS = 64
"""Rows that are added at a time: a megabyte, as much as a chunk."""

MOST_BYTES = 8 * COLUMNS << 16
"""Sums of more rows would not fit into 32 bits."""

_LOW = np.uint64(0xFFFFFFFF)
_PLACES = np.arange(1 << 16, dtype=np.uint64)
_MODULUS = 65535

_memory = threading.local()


def sum_chunk(data: np.ndarray) -> int:
    """Return HDF5's checksum of a chunk, on a machine that is little-endian.

    Args:
        data: uint8 (n,), n at most `MOST_BYTES`.

    Example:
        >>> hex(sum_chunk(np.arange(5, dtype=np.uint8)))
        '0x8090604'
    """
    row_bytes = 8 * COLUMNS
    whole = len(data) // row_bytes
    sums = _Sums(-(-len(data) // row_bytes))
    table = data[: whole * row_bytes].view(np.uint32).reshape(whole, 2 * COLUMNS)
    for first in range(0, whole, BLOCK_ROWS):
        sums.add(first, table[first : first + BLOCK_ROWS])
    if len(data) > whole * row_bytes:  # Zeros behind the end change nothing.
        last = np.zeros((1, 2 * COLUMNS), np.uint32)
        last.view(np.uint8)[0, : len(data) - whole * row_bytes] = data[whole * row_bytes :]
        sums.add(whole, last)
    return sums.combine(-(-len(data) // 2))


class _Sums:
    """Sums of the rows and of the columns of a table of words.

    They are kept of whole integers of 64 bits, modulo 2^64, and of the odd words alone, which tells
    the even ones.
    """

    def __init__(self, num_rows: int) -> None:
        self._rows = np.zeros((2, num_rows), np.uint64)
        self._columns = np.zeros((2, COLUMNS), np.uint64)

    def add(self, first: int, block: np.ndarray) -> None:
        """Add rows of words, uint32 (n, 2 * `COLUMNS`), from one on."""
        if not hasattr(_memory, "odd"):
            _memory.odd = np.empty((BLOCK_ROWS, 2 * COLUMNS), np.uint32)
        odd = np.right_shift(block, 16, out=_memory.odd[: len(block)])
        for number, words in enumerate((block.view(np.uint64), odd.view(np.uint64))):
            np.add.reduce(words, axis=1, out=self._rows[number, first : first + len(block)])
            self._columns[number] += np.add.reduce(words, axis=0)

    def combine(self, num_words: int) -> int:
        """Return the checksum."""
        rows = np.add.reduce(_split(self._rows))
        places = _split(self._columns)
        # Of all words, those of a place, and these by their column and by their row.
        counts = [int(np.add.reduce(words)) for words in places]
        total = sum(counts)
        by_column, by_row = (
            int(np.dot(_PLACES[: len(w)], w)) for w in (np.add.reduce(places), rows)
        )
        weighted = sum(place * count for place, count in enumerate(counts))
        weighted += 4 * (by_column + COLUMNS * by_row)
        if not total:
            return 0
        # HDF5 takes the first byte of a word as the higher one: 256 times as much, modulo 65,535.
        # Its sums are never 0, unless every word is.
        low = total * 256 % _MODULUS or _MODULUS
        high = (num_words * total - weighted) * 256 % _MODULUS or _MODULUS
        return high << 16 | low


def _split(sums: np.ndarray) -> list[np.ndarray]:
    """Return the sums of the words at each of the four places in 64 bits."""
    even = sums[0] - (sums[1] << np.uint64(16))
    return [even & _LOW, sums[1] & _LOW, even >> np.uint64(32), sums[1] >> np.uint64(32)]
