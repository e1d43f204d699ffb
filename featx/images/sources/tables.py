"""The reader of tables of images, in CSV or Parquet: manifests, and files of labels.

Tables come from spreadsheets, scripts and other systems: separators, encodings, the spelling of
headers, and the separators of paths are found out, not prescribed.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx.errors import InvalidValue, join_names
from featx.images.sources.columns import Columns, collect_columns, column_of_cells, column_of_values
from featx.images.sources.splits import find_split
from featx.text_files import decode_text

PATH_COLUMNS = (
    "path", "key", "file", "filename", "image",
    "file_name", "filepath", "file_path", "image_path", "img_path", "img",
)  # fmt: skip
LABEL_COLUMNS = ("label", "class", "labels", "class_name", "category")
SPLIT_COLUMNS = ("split", "subset")
"""Names of columns, in any case; of several, the first that a table has is taken."""

PERHAPS_SPLIT_COLUMNS = ("set", "partition", "phase", "usage")
"""Names of columns that hold splits if all of their cells are words for one; said in a note."""

_KNOWN = frozenset((*PATH_COLUMNS, *LABEL_COLUMNS, *SPLIT_COLUMNS, *PERHAPS_SPLIT_COLUMNS))
_SEPARATORS = ",;\t|"
_WORKBOOKS = {b"PK\x03\x04": "an Excel workbook or a zip", b"\xd0\xcf\x11\xe0": "an Excel workbook"}


class TableError(InvalidValue):
    """A table cannot be read; the message goes on from its name."""


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
    tabs, bars or spaces; spaces around cells do not count, nor does the case of headers.

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
    if path.lower().endswith(".parquet"):
        read = _read_parquet(path, notes if with_columns else None)
    else:
        read = _read_text(path, notes)
    return make_image_table(read, path, notes, with_columns=with_columns)


@dataclass(frozen=True, slots=True)
class ReadTable:
    """A table as it was read, before it is known what its columns mean.

    Attributes:
        header: All columns, as they are spelled.
        cells: The values of the columns by their position in `header`; those that were not read
            are missing.
        lines: See `ImageTable`.
        decimal_comma: Whether cells are text in which ``3,5`` may be a number; None where they
            are values already.
    """

    header: Sequence[str]
    cells: Mapping[int, Sequence[Any]]
    lines: Sequence[int]
    decimal_comma: bool | None = None

    def position(self, names: Sequence[str]) -> int | None:
        """Return the position of the first of some columns that there is."""
        known = [name if i in self.cells else "" for i, name in enumerate(self.header)]
        return find_column(known, names)


def find_column(header: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the position of the first of some columns that a header has, in any spelling.

    Example:
        >>> find_column(["id", "File Name"], PATH_COLUMNS)
        1
    """
    folded = {_fold(name): i for i, name in reversed(list(enumerate(header)))}
    return next((folded[name] for name in names if name in folded), None)


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
        rows = [row for row in rows if paths[row] is not None and str(paths[row]).strip()]
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
    """Return a cell as interned text; None if it is empty."""
    text = "" if value is None else str(value).strip()
    return sys.intern(text) if text else None


def _read_text(path: str, notes: list[str]) -> ReadTable:
    """Read a table in a text file."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        workbook = next((what for mark, what in _WORKBOOKS.items() if data.startswith(mark)), None)
        if workbook is not None:
            raise TableError(f"cannot be read: it is {workbook}. Save the table as CSV.")
        text, guess = decode_text(data)
        if guess is not None:
            notes.append(f"{path!r} is not UTF-8: it is read as {guess}")
        return _split_columns(text)
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, TableError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TableError(f"cannot be read: {reason}.") from error


def _split_columns(text: str) -> ReadTable:
    lines = io.StringIO(text, newline="")
    first = _first_line(text)
    stated = re.fullmatch(r"\s*sep=(.)\s*", first, re.IGNORECASE)  # As Excel writes it.
    skipped = 0
    if stated is not None:
        skipped = len(lines.readline()) and 1
        separator = stated[1]
    else:
        separator = _find_separator(first)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != "\t", strict=True)
    header: list[str] = []
    cells: list[list[str]] = []
    numbers: list[int] = []
    for row in reader:
        row = row if separator != " " else _without_end(row)
        if not any(cell.strip() for cell in row):
            continue
        if not header:
            header = row
            continue
        if any(cell.strip() for cell in row[len(header) :]):
            raise TableError(
                f"cannot be read: line {reader.line_num + skipped} has {len(row)} cells and the "
                f"header {len(header)}. Put cells that hold {separator!r} in double quotes."
            )
        cells.append(row + [""] * (len(header) - len(row)))
        numbers.append(reader.line_num + skipped)
    columns = {column: [row[column] for row in cells] for column in range(len(header))}
    # Programs separate by semicolons where the comma is a decimal one.
    return ReadTable(header, columns, numbers, decimal_comma=separator == ";")


def _first_line(text: str) -> str:
    return next((line for line in re.split(r"[\r\n]", text[: 1 << 16]) if line.strip()), "")


def _find_separator(header: str) -> str:
    """Return what separates the columns of a header: what gives most known names, else most."""

    def num_known(separator: str) -> int:
        names = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
        return sum(_fold(name) in _KNOWN for name in names)

    best = max(_SEPARATORS, key=lambda separator: (num_known(separator), header.count(separator)))
    return " " if num_known(best) == 0 and num_known(" ") > 1 else best


def _without_end(row: list[str]) -> list[str]:
    """Return a row without the empty cell behind a space at its end."""
    return row[:-1] if row and not row[-1] else row


def _fold(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _read_parquet(path: str, notes: list[str] | None) -> ReadTable:
    """Read a Parquet file.

    Args:
        path: The file.
        notes: Gets what is to be said of further columns; None reads only those that say something
            about images.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            header = list(file.schema_arrow.names)
            types = [file.schema_arrow.field(i).type for i in range(len(header))]
            others = [i for i, name in enumerate(header) if _fold(name) not in _KNOWN]
            # Pictures inside, or lists of numbers: they may be as large as everything else.
            unread = {i for i in others if notes is None or _is_large(types[i])}
            if notes is not None and unread:
                names = join_names([repr(header[i]) for i in sorted(unread)], conjunction="and")
                notes.append(f"of {path!r} is not kept what is neither text nor number: {names}")
            chosen = [i for i in range(len(header)) if i not in unread]
            table = file.read(columns=[header[i] for i in chosen])
            cells = {i: table.column(n).to_pylist() for n, i in enumerate(chosen)}
            return ReadTable(header, cells, range(1, file.metadata.num_rows + 1))
    except (OSError, pyarrow.ArrowException) as error:
        raise TableError(f"cannot be read: {error}.") from error


def _is_large(kind: Any) -> bool:
    from pyarrow import types

    return any(
        test(kind)
        for test in (types.is_nested, types.is_binary, types.is_large_binary,
                     types.is_fixed_size_binary)
    )  # fmt: skip
