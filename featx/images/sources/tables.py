"""The reader of tables of images: manifests, and files of labels.

The spelling of headers and the separators of paths are found out, not prescribed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx.images.sources.columns import Columns, collect_columns, column_of_cells, column_of_values
from featx.images.sources.splits import find_split
from featx.images.sources.table_columns import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    PERHAPS_SPLIT_COLUMNS,
    SPLIT_COLUMNS,
    ReadTable,
)
from featx.images.sources.table_files import read_table


@dataclass(frozen=True, slots=True)
class ImageTable:
    """The columns of a table that say something about images, N rows each.

    Attributes:
        header: All columns, as they are spelled.
        lines: The line of each row in a text file; in Parquet the number of the row, from 1.
        paths: None where there is no such column.
        labels: A label of each row, None where the cell is empty; None where there is no column.
        splits: The same for splits.
        notes: What a person should know about how the table was read.
        columns: The other columns, where they were asked for.
    """

    header: tuple[str, ...]
    lines: Sequence[int]
    paths: Sequence[str] | None
    labels: Sequence[str | None] | None
    splits: Sequence[str | None] | None
    notes: tuple[str, ...] = ()
    columns: Columns = field(default_factory=dict)


def read_image_table(path: str, *, with_columns: bool = False) -> ImageTable:
    """Read a table: its rows with a path, or all of them if there is no column of paths.

    Text is UTF-8, UTF-16, or else taken for Latin-1. Columns are separated by commas, semicolons,
    tabs, bars or spaces; spaces around cells do not count, nor does the case of headers. Of JSON
    lines, each is an object, and a list of texts is one text, separated by bars.

    Args:
        path: The file.
        with_columns: Also read the columns that are neither path nor label nor split.

    Raises:
        TableError: If it cannot be read.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("photos.csv").write_text("Path;Label\\na.jpg; cat\\n")
        >>> table = read_image_table("photos.csv")
        >>> list(table.paths), list(table.labels), table.splits
        (['a.jpg'], ['cat'], None)
    """
    notes: list[str] = []
    read = read_table(path, notes, with_columns=with_columns)
    return make_image_table(read, path, notes, with_columns=with_columns)


def make_image_table(
    read: ReadTable, name: str, notes: list[str], *, with_columns: bool
) -> ImageTable:
    """Find out what the columns of a table mean.

    Args:
        read: The table.
        name: What it is called, for messages.
        notes: What a person should know already; more is added.
        with_columns: See `read_image_table`.
    """
    known = [read.position(names) for names in (PATH_COLUMNS, LABEL_COLUMNS, SPLIT_COLUMNS)]
    paths, labels, splits = (None if i is None else read.cells[i] for i in known)
    if splits is None:
        known[2], splits = _find_words_for_splits(read, name, notes)
    rows: Sequence[int] = range(len(read.lines))
    if paths is not None:
        rows = [row for row in rows if _text(paths[row]) is not None]
    columns: Columns = {}
    if with_columns:
        others = [i for i in sorted(read.cells) if i not in known]

        def read_column(number: int) -> np.ndarray:
            cells = read.cells[others[number]]
            chosen = [cells[row] for row in rows]
            if read.decimal_comma is None:
                return column_of_values(chosen)
            return column_of_cells(chosen, decimal_comma=read.decimal_comma)

        columns, more = collect_columns([read.header[i] for i in others], read_column, name)
        notes += more
    return ImageTable(
        header=tuple(read.header),
        lines=[read.lines[row] for row in rows],
        paths=None if paths is None else [str(paths[row]) for row in rows],
        labels=None if labels is None else [_text(labels[row]) for row in rows],
        splits=None if splits is None else [_text(splits[row]) for row in rows],
        notes=tuple(notes),
        columns=columns,
    )


def _find_words_for_splits(
    read: ReadTable, name: str, notes: list[str]
) -> tuple[int | None, Sequence[str | None] | None]:
    """Return the position of a column of another name that holds splits, and its splits."""
    position = read.position(PERHAPS_SPLIT_COLUMNS)
    if position is None:
        return None, None
    cells = [_text(cell) for cell in read.cells[position]]
    found = [None if cell is None else find_split(cell) for cell in cells]
    words = {cell: split for cell, split in zip(cells, found, strict=True) if cell is not None}
    if not words or None in words.values():
        return None, None
    meant = ", ".join(f"{word} as {split}" for word, split in words.items() if word != split)
    notes.append(
        f"the column {read.header[position]!r} of {name!r} is taken for the split"
        + (f" ({meant})" if meant else "")
    )
    return position, found


def spellings(path: str) -> Iterator[str]:
    r"""Yield how a path in a table may be meant: as it is, without spaces, with ``/`` for ``\``.

    Example:
        >>> list(spellings(" x\\1.jpg"))
        [' x\\1.jpg', 'x\\1.jpg', 'x/1.jpg']
    """
    yield path
    stripped = path.strip()
    if stripped != path:
        yield stripped
    if "\\" in stripped:
        yield stripped.replace("\\", "/")


def _text(value: Any) -> str | None:
    """Return a cell as interned text; None if it is empty, or no number."""
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    text = "" if is_missing else str(value).strip()
    return sys.intern(text) if text else None
