"""Labels for the rows of a store, from the store or from a table."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from featx.errors import HeadError
from featx.images.sources.columns import value_at
from featx.images.sources.splits import SPLITS
from featx.images.sources.table_columns import LABEL_COLUMNS, TableError
from featx.images.sources.tables import ImageTable, read_image_table, spellings
from featx.units import format_count
from featx.wording import option

SHOWN_NAMES = 3
"""Names of a list that a note shows."""


@dataclass(frozen=True, slots=True)
class RowLabels:
    """Labels of N rows.

    Attributes:
        labels: N labels, None where there is none.
        sides: Where a split is given, N sides: ``train``, ``test`` or None.
        notes: What a person should know about where they come from.
        columns: Further columns that were asked for, of N values, None where there is none.
        other_columns: Names of the table's further columns, if it was asked for any.
    """

    labels: tuple[str | None, ...]
    sides: tuple[str | None, ...] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    columns: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)
    other_columns: tuple[str, ...] = field(default=(), compare=False)


def side_of(split: str | None) -> str | None:
    """Return the side that a split stands for: ``train``, ``test``, or None for other names.

    Example:
        >>> side_of("Train"), side_of("val"), side_of("fold3")
        ('train', 'test', None)
    """
    if split is None:
        return None
    name = SPLITS.get(split.strip().lower())
    return "test" if name == "val" else name


def read_label_table(
    path: Path,
    keys: Sequence[str],
    root: Path,
    columns: Sequence[str] = (),
    *,
    needs_labels: bool = True,
) -> RowLabels:
    """Read labels from a table with a header line, in CSV or Parquet.

    Args:
        path: The file, with a column of paths and one of labels (see
            `featx.images.sources.tables`), and optionally ``split``: train, or test, val and other
            names of a test split. A path is a key of the store, relative to the table, or absolute;
            of an absolute path from another computer the last parts count.
        keys: The store's keys.
        root: The store's root.
        columns: Names of further columns to read, if the table has them.
        needs_labels: Whether rows without a label say nothing, not even of which split they are.

    Returns:
        For each key its label, None where the file names none.

    Raises:
        HeadError: If columns are missing, values contradict each other, or nothing matches.
    """
    table = _read_table(path, with_columns=bool(columns), needs_labels=needs_labels)
    further = {name: np.full(len(keys), None) for name in columns if name in table.columns}
    paths = table.paths or ()
    cells = [None] * len(paths) if table.labels is None else table.labels
    splits = table.splits if any(table.splits or ()) else None
    finder = _RowFinder(keys, path, root)
    labels: list[str | None] = [None] * len(keys)
    sides: list[str | None] = [None] * len(keys)
    named: set[int] = set()
    unknown: list[str] = []
    for number, (line, name, label) in enumerate(zip(table.lines, paths, cells, strict=True)):
        row = finder.find(name)
        if row is None:
            unknown.append(name)
            continue
        named.add(row)
        where = f"{str(path)!r}, line {line}"
        subject = f"{where}: {name.strip()!r}"
        for column, values in further.items():
            _fill(values, row, value_at(table.columns[column], number), f"{subject} in {column!r}")
        if not label and needs_labels:
            continue
        if label:
            _assign(labels, row, label, subject)
        if splits is not None:
            _assign(sides, row, _read_side(splits[number], where), subject, "in ")
    if not named:
        known = keys[0] if keys else ""
        raise HeadError(
            f"None of the {format_count(len(paths), 'path')} in {str(path)!r} is in the "
            f"store. The file has, for example, {paths[0]!r}; the store has {known!r}."
        )
    unnamed = [key for row, key in enumerate(keys) if row not in named]
    empty = sorted({*columns} & {*table.header} - {*table.columns, *LABEL_COLUMNS})
    has_none = table.splits is not None and splits is None
    notes = [
        *table.notes,
        *(f"the column {name!r} in {str(path)!r} is empty" for name in empty),
        *([f"the column of splits in {str(path)!r} is empty"] if has_none else []),
        *_describe_rest(path, unknown, unnamed, finder),
    ]
    given = None if splits is None else tuple(sides)
    return RowLabels(tuple(labels), given, tuple(notes), further, tuple(table.columns))


def _describe_rest(
    path: Path, unknown: Sequence[str], unnamed: Sequence[str], finder: _RowFinder
) -> Iterator[str]:
    """Say what does not match between a table and a store, and what matches in part only."""
    if finder.foreign:
        count = format_count(len(finder.foreign), "path leads", "paths lead")
        yield (
            f"{count} elsewhere in {str(path)!r}, and the last parts decide which image is meant: "
            f"for example {finder.foreign[0]!r}"
        )
    if unknown:
        rows = format_count(len(unknown), "row names", "rows name")
        yield f"{rows} no image of the store: {_first(unknown)}"
    if unnamed:
        images = format_count(len(unnamed), "image of the store has", "images of the store have")
        yield f"{images} no row in {str(path)!r}: {_first(unnamed)}"


def _first(names: Sequence[str]) -> str:
    shown = [repr(name) for name in names[:SHOWN_NAMES]]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest:,} more" if rest else "")


class _RowFinder:
    """Finds the row of a store that a path in a table means.

    Args:
        keys: The store's keys.
        table: The file.
        root: The store's root.

    Attributes:
        foreign: Paths of which only the last parts matched.
    """

    def __init__(self, keys: Sequence[str], table: Path, root: Path) -> None:
        self.foreign: list[str] = []
        self._rows = {key: row for row, key in enumerate(keys)}
        # macOS writes accents as characters of their own, in names of files alone.
        self._composed = {_compose(key): row for row, key in enumerate(keys) if not key.isascii()}
        self._folder = table.absolute().parent
        self._root = root

    def find(self, path: str) -> int | None:
        """Return the row; None if no image of the store is meant."""
        for name in spellings(path):
            row = self._find(posixpath.normpath(name))
            if row is None:
                absolute = os.path.normpath(self._folder / name)
                row = self._find(Path(os.path.relpath(absolute, self._root)).as_posix())
            if row is not None:
                return row
        return self._find_foreign(path, name)

    def _find(self, key: str) -> int | None:
        row = self._rows.get(key)
        return self._composed.get(_compose(key)) if row is None and not key.isascii() else row

    def _find_foreign(self, path: str, name: str) -> int | None:
        """Find an absolute path of another computer, by as many of its last parts as there are."""
        if not name.startswith("/") and not re.match(r"[A-Za-z]:/", name):
            return None
        parts = name.split("/")[1:]
        for start in range(1, len(parts)):
            row = self._find("/".join(parts[start:]))
            if row is not None:
                self.foreign.append(path)
                return row
        return None


def _compose(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _read_table(path: Path, *, with_columns: bool, needs_labels: bool) -> ImageTable:
    """Read a labels file.

    Raises:
        HeadError: If it cannot be read, has no lines, or lacks a column.
    """
    if not path.exists():
        raise HeadError(
            f"{option('labels')} takes 'folders' or a CSV file. "
            f"Received: {str(path)!r}, which does not exist."
        )
    try:
        table = read_image_table(str(path), with_columns=with_columns)
    except TableError as error:
        raise HeadError(f"The labels in {str(path)!r} {error}") from error
    if table.paths is None or (needs_labels and table.labels is None):
        columns = "columns path and label" if needs_labels else "column path"
        raise HeadError(
            f"A labels file has a header line with the {columns} (and optionally "
            f"split). Received: {', '.join(table.header) or 'no columns'} in {str(path)!r}."
        )
    if not table.paths:
        raise HeadError(f"{str(path)!r} has a header line and nothing below it.")
    return table


def _read_side(split: str | None, where: str) -> str:
    side = side_of(split)
    if side is None:
        received = repr(split) if split else "an empty cell"
        raise HeadError(f"{where}: a split is one of {', '.join(SPLITS)}. Received: {received}.")
    return side


def _assign(
    values: list[str | None], row: int, value: str, subject: str, preposition: str = ""
) -> None:
    """Set a value, unless an earlier line has set another."""
    if values[row] not in (None, value):
        raise HeadError(
            f"{subject} is {preposition}{value!r} here and {preposition}{values[row]!r} in an "
            "earlier line."
        )
    values[row] = value


def _fill(values: np.ndarray, row: int, value: object, subject: str) -> None:
    """Set a value of a further column, unless it is missing or an earlier line has another."""
    if value is None:
        return
    if values[row] not in (None, value):
        raise HeadError(f"{subject} is {value!r} here and {values[row]!r} in an earlier line.")
    values[row] = value
