"""Labels for the rows of a store: those it holds, or from a CSV file."""

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
"""The value of ``--labels`` that takes the labels in the store: class folders, or what a
manifest or another source of the images said."""

SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
"""What a column of splits may say → the side it means."""


@dataclass(frozen=True, slots=True)
class RowLabels:
    """N labels and, if the user gave a split, N sides (``train``, ``test`` or None)."""

    labels: tuple[str | None, ...]
    sides: tuple[str | None, ...] | None = None


def side_of(split: str | None) -> str | None:
    """Return the side that a split's name means: ``train``, ``test``, or None for any other.

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
    split_column = columns.get("split")

    rows = {key: row for row, key in enumerate(keys)}
    labels: list[str | None] = [None] * len(keys)
    sides: list[str | None] = [None] * len(keys)
    matched = 0
    for number, line in enumerate(lines, start=2):
        name, label = (line[path_column] or "").strip(), (line[label_column] or "").strip()
        row = rows.get(name, rows.get(_relative_key(name, path, root)))
        if row is None or not label:
            continue
        if labels[row] not in (None, label):
            raise HeadError(
                f"{str(path)!r}, line {number}: {name!r} is {label!r} here and {labels[row]!r} "
                "in an earlier line."
            )
        labels[row] = label
        matched += 1
        if split_column is not None:
            side = side_of(line[split_column])
            if side is None:
                raise HeadError(
                    f"{str(path)!r}, line {number}: a split is one of {', '.join(SPLITS)}. "
                    f"Received: {line[split_column]!r}."
                )
            if sides[row] not in (None, side):
                raise HeadError(
                    f"{str(path)!r}, line {number}: {name!r} is in {side!r} here and in "
                    f"{sides[row]!r} in an earlier line."
                )
            sides[row] = side
    if not lines:
        raise HeadError(f"{str(path)!r} has a header line and nothing below it.")
    if not matched:
        example = (lines[0][path_column] or "") if lines else ""
        known = keys[0] if keys else ""
        raise HeadError(
            f"None of the {format_count(len(lines), 'path')} in {str(path)!r} is in the store. The "
            f"file has, for example, {example!r}; the store has {known!r}."
        )
    return RowLabels(tuple(labels), tuple(sides) if split_column is not None else None)


def _relative_key(name: str, csv_path: Path, root: Path) -> str:
    """Return the key of a path that is absolute or relative to the CSV file."""
    absolute = os.path.normpath(csv_path.absolute().parent / name)
    return Path(os.path.relpath(absolute, root)).as_posix()
