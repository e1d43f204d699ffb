"""Inverted lists in the file: for each list the codes of its vectors, then their row numbers."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from featx.index.container import Arrays, Section

ROW_BYTES = 8
"""A row number is an int64, as FAISS reads it."""

GATHERED = 32 << 20
"""Bytes of lists that are put together at a time."""


@dataclass(frozen=True, slots=True)
class ListLayout:
    """Where the lists are in their array.

    Attributes:
        sizes: int64 (L,): vectors of each list.
        capacities: int64 (L,): places for vectors, of which the last may be unused: row numbers
            begin at a multiple of 8 bytes.
        offsets: int64 (L,): where each begins.
        code_size: Bytes of a vector.
    """

    sizes: np.ndarray
    capacities: np.ndarray
    offsets: np.ndarray
    code_size: int

    @classmethod
    def of(cls, sizes: np.ndarray, code_size: int) -> ListLayout:
        """Return the layout of lists of some sizes."""
        sizes = sizes.astype(np.int64)
        step = 8 // math.gcd(8, code_size)
        capacities = -(-sizes // step) * step
        ends = np.cumsum(capacities * (code_size + ROW_BYTES))
        return cls(sizes, capacities, np.concatenate([[0], ends[:-1]]), code_size)

    @property
    def num_bytes(self) -> int:
        """Bytes of all lists."""
        return int((self.capacities * (self.code_size + ROW_BYTES)).sum())

    def span(self, number: int) -> tuple[int, int]:
        """Return where the bytes of a list begin and end."""
        start = int(self.offsets[number])
        return start, start + int(self.capacities[number]) * (self.code_size + ROW_BYTES)

    def split(self, content: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return views of a list's codes, (n, code_size), and row numbers, (n,), in all bytes."""
        start, end = self.span(number)
        size, middle = (
            int(self.sizes[number]),
            start + int(self.capacities[number] * self.code_size),
        )
        codes = content[start:middle].reshape(-1, self.code_size)[:size]
        return codes, content[middle:end].view(np.int64)[:size]


ListContent = tuple[np.ndarray, np.ndarray]


class CodeFile:
    """Codes of vectors as they come, in a file without a name, to be taken out list by list.

    Codes of neighbouring lists are written together, `GATHERED` bytes of them as a rule, and read
    together: that many are in memory.

    Args:
        folder: Where the file is.
        code_size: Bytes of a vector.
        num_lists: How many lists there are.
        count: How many vectors are going to be added.
    """

    def __init__(self, folder: Path, code_size: int, num_lists: int, count: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._entry = np.dtype(
            [("list", "<i4"), ("row", "<i8"), ("code", "u1", (code_size,))], align=False
        )
        parts = max(1, min(num_lists, round(count * self._entry.itemsize / GATHERED)))
        self._lists_of_part = -(-num_lists // parts)
        self._extents: list[list[tuple[int, int]]] = [[] for _ in range(parts)]
        self._read: tuple[int, np.ndarray] | None = None
        self.sizes = np.zeros(num_lists, np.int64)

    def add(self, codes: np.ndarray, lists: np.ndarray, rows: np.ndarray) -> None:
        """Append codes, (n, code_size); their lists and their row numbers, (n,)."""
        entries = np.empty(len(rows), self._entry)
        entries["list"], entries["row"], entries["code"] = lists, rows, codes
        self.sizes += np.bincount(lists, minlength=len(self.sizes))
        parts = lists // self._lists_of_part
        order = np.argsort(parts, kind="stable")
        ends = np.cumsum(np.bincount(parts, minlength=len(self._extents)))
        for extents, chosen in zip(self._extents, np.split(order, ends[:-1]), strict=True):
            if len(chosen):
                extents.append((self._file.tell(), len(chosen)))
                self._file.write(entries[chosen].tobytes())

    def take(self, number: int) -> ListContent:
        """Return the codes, (n, code_size), and row numbers, (n,), of a list as they came."""
        part = number // self._lists_of_part
        if self._read is None or self._read[0] != part:
            self._read = None  # Before the next one is read.
            self._read = part, self._read_part(part)
        entries = self._read[1]
        first, last = np.searchsorted(entries["list"], [number, number + 1])
        return entries["code"][first:last], entries["row"][first:last]

    def take_sorted(self, number: int) -> ListContent:
        """Return the same in the order of row numbers, as if rows had come in it."""
        codes, rows = self.take(number)
        order = np.argsort(rows)
        return codes[order], rows[order]

    def _read_part(self, part: int) -> np.ndarray:
        """Return the entries of some lists, sorted by list."""
        extents = self._extents[part]
        entries = np.empty(sum(count for _, count in extents), self._entry)
        place = 0
        for offset, count in extents:
            self._file.seek(offset)
            content = self._file.read(count * self._entry.itemsize)
            entries[place : place + count] = np.frombuffer(content, self._entry)
            place += count
        return entries[np.argsort(entries["list"], kind="stable")]


def list_sections(sizes: np.ndarray, code_size: int, lists: Iterable[ListContent]) -> list[Section]:
    """Return the arrays of inverted lists.

    Args:
        sizes: int (L,): vectors of each list.
        code_size: Bytes of a vector.
        lists: For each list its codes, (n, code_size), and row numbers, (n,).
    """
    layout = ListLayout.of(sizes, code_size)
    return [
        Section.of("sizes", sizes.astype("<u4")),
        Section("lists", "|u1", (layout.num_bytes,), _join_lists(layout, lists)),
    ]


def _join_lists(layout: ListLayout, lists: Iterable[ListContent]) -> Iterator[np.ndarray]:
    gathered: list[np.ndarray] = []
    size = 0
    for number, (codes, rows) in enumerate(lists):
        unused = int(layout.capacities[number]) - len(rows)
        gathered += [
            codes.reshape(-1),
            np.zeros(unused * layout.code_size, np.uint8),
            np.ascontiguousarray(rows, "<i8").view(np.uint8),
            np.zeros(unused * ROW_BYTES, np.uint8),
        ]
        size += codes.nbytes
        if size >= GATHERED:
            yield np.concatenate(gathered)
            gathered, size = [], 0
    if gathered:
        yield np.concatenate(gathered)


class MappedLists:
    """Inverted lists in a mapped file.

    Raises:
        ValueError: If the arrays cannot be those of `count` vectors in `num_lists` lists.
    """

    def __init__(self, arrays: Arrays, code_size: int, num_lists: int, count: int) -> None:
        sizes, self.array = arrays["sizes"], arrays["lists"]
        if (sizes.dtype, sizes.shape) != ("<u4", (num_lists,)) or self.array.dtype != "|u1":
            raise ValueError("its lists have no sizes")
        self.layout = ListLayout.of(sizes.all(), code_size)
        if self.layout.sizes.sum() != count or self.array.shape != (self.layout.num_bytes,):
            raise ValueError("its lists hold other vectors than it says")

    def check(self, numbers: np.ndarray) -> None:
        """Compare the blocks of some lists with their checksums, before FAISS reads them.

        Raises:
            IndexFileError: If one of them is damaged.
        """
        for number in numbers:
            self.array.check(*self.layout.span(int(number)))
            self.release(int(number))  # FAISS has mapped the file by itself.

    def release(self, number: int) -> None:
        """Take a list out of the memory of this process."""
        self.array.release(*self.layout.span(number))

    def take(self, number: int) -> ListContent:
        """Return the codes and row numbers of a list, checked, as views of the file."""
        self.array.check(*self.layout.span(number))
        return self.layout.split(self.array.unchecked, number)
