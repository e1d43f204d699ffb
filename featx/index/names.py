"""Keys and labels of an index, read from the mapped file when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from featx.errors import IndexFileError
from featx.index.container import Arrays, MappedArray, Section
from featx.units import format_count

_END = b"\0"
"""Stands before the first text and behind each, so that one is found by a search of bytes."""

_BLOCK_ROWS = 4096
"""Texts that are decoded at a time in iteration."""


def text_sections(name: str, texts: Sequence[str]) -> list[Section]:
    """Return the arrays of a list of texts: their bytes, and where each begins."""
    joined = "\0".join(["", *texts, ""]).encode("utf-8", "surrogatepass")
    content = np.frombuffer(joined, np.uint8) if len(texts) else np.zeros(1, np.uint8)
    starts = np.flatnonzero(content == 0).astype(np.uint64) + np.uint64(1)
    if len(starts) != len(texts) + 1:  # A text may hold a zero byte.
        lengths = [len(text.encode("utf-8", "surrogatepass")) + 1 for text in texts]
        starts = np.cumsum([1, *lengths], dtype=np.uint64)
    small = len(content) < 2**32
    return [
        Section.of(name, content),
        Section.of(f"{name}_starts", starts.astype("<u4" if small else "<u8")),
    ]


class Texts(Sequence[str]):
    """A sequence of texts in a mapped file.

    Raises:
        ValueError: If the arrays cannot be those of a list of texts.
    """

    def __init__(self, arrays: Arrays, name: str) -> None:
        self._content, self._starts = arrays[name], arrays[f"{name}_starts"]
        is_text = self._content.dtype == "|u1" and len(self._content.shape) == 1
        if not is_text or self._starts.dtype not in ("<u4", "<u8") or not len(self._starts):
            raise ValueError(f"{name} is no list of texts")

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return tuple(self[row] for row in range(*index.indices(len(self))))
        row = range(len(self))[index]
        return self._decode(row, row + 1)[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK_ROWS):
            yield from self._decode(start, min(len(self), start + _BLOCK_ROWS))

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.find(text) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<{format_count(len(self), 'text')}>"

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the row of a text; ValueError if there is none, as lists do."""
        row = self.find(value) if isinstance(value, str) else None
        if row is None or not start <= row < (len(self) if stop is None else stop):
            raise ValueError(f"{value!r} is not in the list")
        return row

    def find(self, text: str) -> int | None:
        """Return the row of a text, None if there is none: a search in the bytes of all."""
        wanted = text.encode("utf-8", "surrogatepass")
        starts = self._starts.all()
        content = self._content.all().tobytes()
        place = content.find(_END + wanted + _END)
        while place >= 0:
            row = int(np.searchsorted(starts, place + 1))
            ends = place + 1 + len(wanted) + 1
            if row < len(self) and starts[row] == place + 1 and starts[row + 1] == ends:
                return row
            place = content.find(_END + wanted + _END, place + 1)  # A text may hold a zero byte.
        return None

    def _decode(self, start: int, stop: int) -> list[str]:
        places = self._starts.rows(start, stop + 1).astype(np.int64)
        low, high = int(places[0]), int(places[-1])
        if not 1 <= low <= high <= len(self._content) or (np.diff(places) < 1).any():
            raise IndexFileError("The index is damaged: its names are not where it says.")
        content = self._content.rows(low, high).tobytes()
        try:
            return [
                content[first - low : last - low - 1].decode("utf-8", "surrogatepass")
                for first, last in zip(places[:-1].tolist(), places[1:].tolist(), strict=True)
            ]
        except UnicodeDecodeError as error:
            raise IndexFileError("The index is damaged: a name in it is no text.") from error


def label_sections(labels: Sequence[str | None]) -> list[Section]:
    """Return the arrays of N class names: those that occur, and a number for each row."""
    classes = sorted({label for label in labels if label is not None})
    numbers: dict[str | None, int] = {None: 0}
    numbers |= {name: number for number, name in enumerate(classes, 1)}
    small = len(classes) < 2**16 - 1
    column = np.fromiter(map(numbers.__getitem__, labels), np.uint32, len(labels))
    return [
        *text_sections("classes", classes),
        Section.of("labels", column.astype("<u2" if small else "<u4")),
    ]


class Labels(Sequence["str | None"]):
    """N class names in a mapped file, None where there is none."""

    def __init__(self, arrays: Arrays) -> None:
        self._classes: Texts = Texts(arrays, "classes")
        self._column: MappedArray = arrays["labels"]
        if self._column.dtype not in ("<u2", "<u4") or len(self._column.shape) != 1:
            raise ValueError("labels are no column")

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str | None]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str | None] | None:
        if isinstance(index, slice):
            return tuple(self[row] for row in range(*index.indices(len(self))))
        row = range(len(self))[index]
        number = int(self._column.rows(row, row + 1)[0])
        if number > len(self._classes):
            raise IndexFileError("The index is damaged: a label has no name.")
        return None if number == 0 else self._classes[number - 1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<{format_count(len(self), 'label')}>"
