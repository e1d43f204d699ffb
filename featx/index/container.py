"""The file of an index: arrays one after the other, and at the end what describes them.

::

    arrays | description, as JSON | 24 bytes: length of the JSON, its SHA-256 begun, magic

A kind decides which arrays there are. Behind each, the description has its place, type and shape,
and a CRC-32 of every `BLOCK` bytes. Opening reads the end of the file. Arrays are mapped, and a
block is compared with its checksum when it is first read. The file is written in one go, beside,
and then renamed: who has the old one open keeps it.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from featx.errors import IndexFileError
from featx.index.files import MAGIC
from featx.sealed_json import check_seal, parse_json, seal
from featx.wording import command

BLOCK = 256 << 10
"""Bytes under one checksum."""

ALIGNMENT = 64

_FOOTER = struct.Struct("<QI4x8s")
"""Length of the JSON, its CRC-32, magic."""

TYPES = ("|u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f4")
"""Types of arrays."""

LARGEST_DESCRIPTION = 64 << 20
"""Bytes of JSON; that of 10,000,000 x 1,280 values in 8 bits has about 1 MB."""


@dataclass(frozen=True, slots=True)
class Section:
    """An array to be written.

    Attributes:
        name: Its name in the file.
        dtype: One of `TYPES`.
        shape: Its shape.
        chunks: Its values in order, in arrays of any size; read once.
        alignment: Its place in the file is a multiple of this.
        opens_file: Whether it must be the first bytes of the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    chunks: Iterable[np.ndarray]
    alignment: int = ALIGNMENT
    opens_file: bool = False

    @classmethod
    def of(cls, name: str, array: np.ndarray) -> Section:
        """Return the section of an array in memory."""
        return cls(name, array.dtype.str, array.shape, (array,))


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array is in the file, and the checksums of its blocks."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    checksums: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "offset": self.offset,
            "crc32": list(self.checksums),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], end: int) -> Place:
        """Rebuild a place, and refuse what cannot be one in a file whose arrays end at `end`.

        Raises:
            ValueError: If it is none. Damaged data can raise any other exception, too.
        """
        numbers = [*data["shape"], data["offset"], *data["crc32"]]
        if data["dtype"] not in TYPES or len(data["shape"]) > 2:
            raise ValueError("an array has a type or shape that featx never writes")
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError("an array has a place that is no number")
        place = cls(data["dtype"], tuple(data["shape"]), data["offset"], tuple(data["crc32"]))
        if place.offset + place.num_bytes > end:
            raise ValueError("an array ends behind the end of the file")
        if len(place.checksums) != math.ceil(place.num_bytes / BLOCK):
            raise ValueError("an array has too few or too many checksums")
        return place


class MappedArray:
    """An array of the file. What is read of it has been compared with its checksums.

    Args:
        path: The file, for errors.
        name: The array.
        place: Where it is.
        content: The whole file.
        is_checked: Whether the file was compared with a checksum of all of it.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        place: Place,
        content: mmap.mmap,
        *,
        is_checked: bool = False,
    ) -> None:
        self.name, self.place = name, place
        self.path = path
        self._content = content
        self._bytes = memoryview(content)[place.offset : place.offset + place.num_bytes]
        self._is_checked = np.full(math.ceil(place.num_bytes / BLOCK), is_checked)
        dtype = np.dtype(place.dtype)
        self._values = np.frombuffer(self._bytes, dtype).reshape(place.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.place.shape

    @property
    def dtype(self) -> str:
        """Its type, as NumPy writes it."""
        return self.place.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def check(self, start: int, stop: int) -> None:
        """Compare the blocks that hold some bytes with their checksums, each of them once.

        Raises:
            IndexFileError: If one of them is damaged.
        """
        if stop <= start:
            return
        first, last = start // BLOCK, (stop - 1) // BLOCK
        for block in first + np.flatnonzero(~self._is_checked[first : last + 1]):
            content = self._bytes[block * BLOCK : (block + 1) * BLOCK]
            if zlib.crc32(content) != self.place.checksums[block]:
                raise damaged(self.path, f"a block of {self.name!r} is not what was written")
            self._is_checked[block] = True

    def release(self, start: int, stop: int) -> None:
        """Take some bytes out of the memory of this process; they are read again when needed."""
        if not hasattr(mmap, "MADV_DONTNEED"):  # On Windows.
            return
        start = -(-(self.place.offset + start) // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (self.place.offset + stop) // mmap.PAGESIZE * mmap.PAGESIZE
        if start < stop:
            self._content.madvise(mmap.MADV_DONTNEED, start, stop - start)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the mapped values of some rows, checked; the array cannot be written to."""
        size = self.place.num_bytes // max(1, len(self))
        self.check(start * size, stop * size)
        return self._values[start:stop]

    def all(self) -> np.ndarray:
        """Return all mapped values, checked."""
        return self.rows(0, len(self))

    def take_all(self) -> np.ndarray:
        """Return a copy of all values, checked."""
        return np.array(self.all())

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return a copy of chosen rows, checked."""
        size = self.place.num_bytes // max(1, len(self))
        for block in np.unique([rows * size // BLOCK, ((rows + 1) * size - 1) // BLOCK]):
            self.check(int(block) * BLOCK, int(block + 1) * BLOCK)
        return np.array(self._values[rows])

    @property
    def unchecked(self) -> np.ndarray:
        """All mapped values, not compared with their checksums."""
        return self._values


Arrays = Mapping[str, MappedArray]
"""The arrays of a file by name."""


@dataclass(frozen=True, slots=True)
class Container:
    """An open file: `data` is its description, `arrays` what it holds."""

    path: Path
    data: dict[str, Any]
    arrays: dict[str, MappedArray]


class Writer:
    """Writes arrays one after the other, then the description.

    Args:
        file: An empty file, open for writing and reading.
        path: What it will be called, for errors.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._places: dict[str, Place] = {}

    def add(self, section: Section) -> None:
        """Write an array.

        Raises:
            OSError: If the disk is full or cannot be written.
        """
        if self._file.tell() == 0 and not section.opens_file:
            self._file.write(MAGIC)
        self._file.write(bytes(-self._file.tell() % section.alignment))
        offset, checksums = self._file.tell(), _Checksums()
        for chunk in section.chunks:
            values = np.ascontiguousarray(chunk, section.dtype).reshape(-1)
            content = values.view(np.uint8).data
            self._file.write(content)
            checksums.add(content)
        place = Place(section.dtype, section.shape, offset, checksums.finish())
        written = self._file.tell() - offset
        assert written == place.num_bytes, f"{section.name}: {place.num_bytes} != {written}"
        self._places[section.name] = place

    def mapped(self) -> dict[str, MappedArray]:
        """Return the arrays that have been written; they are not compared with checksums now."""
        self._file.flush()
        content = _map(self._file.fileno())
        return {
            name: MappedArray(self._path, name, place, content, is_checked=True)
            for name, place in self._places.items()
        }

    def finish(self, description: Mapping[str, Any]) -> None:
        """Write the description behind the arrays.

        Raises:
            OSError: If the disk is full or cannot be written.
        """
        arrays = {name: place.to_dict() for name, place in self._places.items()}
        text = json.dumps(seal({**description, "arrays": arrays}), separators=(",", ":"))
        content = text.encode("ascii")
        self._file.write(content + _FOOTER.pack(len(content), zlib.crc32(content), MAGIC))
        self._file.flush()


class _Checksums:
    """CRC-32 of blocks of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._finished: list[int] = []
        self._crc, self._length = 0, 0

    def add(self, content: memoryview) -> None:
        while len(content):
            piece = content[: BLOCK - self._length]
            self._crc, self._length = zlib.crc32(piece, self._crc), self._length + len(piece)
            content = content[len(piece) :]
            if self._length == BLOCK:
                self._finished.append(self._crc)
                self._crc, self._length = 0, 0

    def finish(self) -> tuple[int, ...]:
        return tuple([*self._finished, self._crc] if self._length else self._finished)


def open_container(path: Path) -> Container:
    """Open a file: read its end, and map the rest.

    Raises:
        IndexFileError: If its end is damaged, or says what no file of featx says.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            data, end = _read_description(file, size)
            places = {
                str(name): Place.from_dict(place, end) for name, place in data["arrays"].items()
            }
            content = _map(file.fileno())
    except Exception as error:  # Deep nesting raises RecursionError, for example.
        raise damaged(path, error) from error
    arrays = {name: MappedArray(path, name, place, content) for name, place in places.items()}
    return Container(path, data, arrays)


def damaged(path: Path, why: object) -> IndexFileError:
    """Return the error that says that an index is damaged."""
    return IndexFileError(
        f"{str(path)!r} is damaged ({why}). Build the index again with {command('index')}."
    )


def _read_description(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the description, and where the arrays end."""
    if size < _FOOTER.size:
        raise ValueError("it is too short")
    file.seek(size - _FOOTER.size)
    length, crc, magic = _FOOTER.unpack(file.read(_FOOTER.size))
    end = size - _FOOTER.size - length
    if magic != MAGIC or end < 0 or length > LARGEST_DESCRIPTION:
        raise ValueError("it has no description")
    file.seek(end)
    content = file.read(length)
    if zlib.crc32(content) != crc:
        raise ValueError("its description is not what was written")
    data = parse_json(content.decode("ascii"))
    check_seal(data)
    return data, end


def _map(descriptor: int) -> mmap.mmap:
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)


def iter_rows(count: int, size: int, most: int = 32 << 20) -> Iterator[tuple[int, int]]:
    """Yield the first and last row of blocks of rows that have at most `most` bytes.

    Example:
        >>> list(iter_rows(5, 10, most=20))
        [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, most // max(1, size))
    for start in range(0, count, step):
        yield start, min(count, start + step)
