"""Labels for the rows of a store, from the store or from a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featx.errors import HeadError
from featx.images.sources.manifests import LABEL_COLUMNS, PATH_COLUMNS
from featx.units import format_count

FOLDERS = "folders"
"""Value of ``--labels`` for the labels in the store: class folders, or those that a manifest or
another source of the images gave."""

SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
"""Names of splits → the side they stand for."""


@dataclass(frozen=True, slots=True)
class RowLabels:
    """N labels and, where a split is given, N sides (``train``, ``test`` or None)."""

    labels: tuple[str | None, ...]
    sides: tuple[str | None, ...] | None = None


def side_of(split: str | None) -> str | None:
    """Return the side that a split stands for: ``train``, ``test``, or None for other names.

    Example:
        >>> side_of("Train"), side_of("val"), side_of("fold3")
        ('train', 'test', None)
    """
    return None if split is None else SPLITS.get(split.strip().lower())


def read_labels_csv(path: Path, keys: Sequence[str], root: Path) -> RowLabels:
    """Read labels from a CSV file with a header line.

    Args:
        path: The file, with a column ``path`` (or key, file, filename, image), a column
            ``label`` (or class), and optionally ``split`` (train or test; validation counts
            as test). A path is a key of the store, an absolute path, or relative to the CSV.
        keys: The store's keys.
        root: The store's root.

    Returns:
        For each key its label, None where the file names none.

    Raises:
        HeadError: If columns are missing, values contradict each other, or nothing matches.
    """
    table = _read_table(path)
    rows = {key: row for row, key in enumerate(keys)}
    labels: list[str | None] = [None] * len(keys)
    sides: list[str | None] = [None] * len(keys)
    matched = 0
    for number, line in enumerate(table.lines, start=2):
        name, label = (line[table.path] or "").strip(), (line[table.label] or "").strip()
        row = rows.get(name, rows.get(_relative_key(name, path, root)))
        if row is None or not label:
            continue
        matched += 1
        where = f"{str(path)!r}, line {number}"
        _assign(labels, row, label, f"{where}: {name!r}")
        if table.split is not None:
            _assign(sides, row, _read_side(line[table.split], where), f"{where}: {name!r}", "in ")
    if not matched:
        known = keys[0] if keys else ""
        raise HeadError(
            f"None of the {format_count(len(table.lines), 'path')} in {str(path)!r} is in the "
            f"store. The file has, for example, {table.lines[0][table.path] or ''!r}; the store "
            f"has {known!r}."
        )
    return RowLabels(tuple(labels), tuple(sides) if table.split is not None else None)


@dataclass(frozen=True, slots=True)
class _Table:
    """The lines of a labels file, and the names of its columns as they are spelled there."""

    lines: list[dict[str, str | None]]
    path: str
    label: str
    split: str | None


def _read_table(path: Path) -> _Table:
    """Read a labels file.

    Raises:
        HeadError: If it cannot be read, has no lines, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = {name.strip().lower(): name for name in reader.fieldnames or []}
            lines = list(reader)
    except FileNotFoundError:
        raise HeadError(
            "--labels takes 'folders' or a CSV file. "
            f"Received: {str(path)!r}, which does not exist."
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HeadError(f"The labels in {str(path)!r} cannot be read: {error}") from error
    path_column = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    label_column = next((columns[name] for name in LABEL_COLUMNS if name in columns), None)
    if path_column is None or label_column is None:
        raise HeadError(
            "A labels file has a header line with the columns path and label (and optionally "
            f"split). Received: {', '.join(columns) or 'no columns'} in {str(path)!r}."
        )
    if not lines:
        raise HeadError(f"{str(path)!r} has a header line and nothing below it.")
    return _Table(lines, path_column, label_column, columns.get("split"))


def _read_side(split: str | None, where: str) -> str:
    side = side_of(split)
    if side is None:
        raise HeadError(f"{where}: a split is one of {', '.join(SPLITS)}. Received: {split!r}.")
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


def _relative_key(name: str, csv_path: Path, root: Path) -> str:
    """Return the key of a path that is absolute or relative to the CSV file."""
    absolute = os.path.normpath(csv_path.absolute().parent / name)
    return Path(os.path.relpath(absolute, root)).as_posix()
