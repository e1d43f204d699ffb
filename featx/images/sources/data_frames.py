"""Data frames of pandas and polars, tables of Arrow: read as manifests are, and never imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from featx.errors import InvalidValue, join_names
from featx.images.sources.columns import NoColumn, plain_value
from featx.images.sources.pixels import label_text
from featx.images.sources.table_columns import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    SPLIT_COLUMNS,
    ReadTable,
)
from featx.images.sources.tables import ImageTable, make_image_table
from featx.units import format_count

NAME = "the table"
"""What a table in memory is called in messages."""


def is_data_frame(value: Any) -> bool:
    """Whether a value is a table with named columns, of whatever library.

    Example:
        >>> import pyarrow
        >>> is_data_frame(pyarrow.table({"path": ["a.jpg"]})), is_data_frame(["a.jpg"])
        (True, False)
    """
    names = set(dir(type(value)))  # Asking a frame that is not computed yet may compute it.
    return "column_names" in names or (
        "columns" in names and bool({"shape", "collect"} & names) and "dtype" not in names
    )


def read_data_frame(frame: Any, *, all_rows: bool = False) -> tuple[ImageTable, Sequence[Any]]:
    """Read a data frame: what its columns say, and the path or picture in each row.

    Rows without a path are left out, as those of a manifest are.

    Args:
        frame: The table.
        all_rows: Refuse rows without a path: what is computed belongs to the rows, in their order.

    Raises:
        InvalidValue: If it has no column of paths or pictures, or cannot be read as it is.

    Example:
        >>> import pyarrow
        >>> frame = pyarrow.table({"path": ["a.jpg", None], "label": ["cat", "dog"], "age": [3, 4]})
        >>> table, pictures = read_data_frame(frame)
        >>> pictures, table.labels, table.columns["age"].tolist()
        (['a.jpg'], ['cat'], [3])
    """
    header, read = _open(frame)
    cells = {number: read(number) for number in range(len(header))}
    count = len(cells[0]) if cells else 0
    made = ReadTable(header, cells, range(count))
    path = made.position(PATH_COLUMNS)
    if path is None:
        raise InvalidValue(
            f"A table of images has a column {join_names(PATH_COLUMNS[:5])} with their paths (and "
            f"optionally label and split). Received: {', '.join(header) or 'no columns'}."
        )
    for names in (LABEL_COLUMNS, SPLIT_COLUMNS):
        position = made.position(names)
        if position is not None:
            cells[position] = [_label(value) for value in cells[position]]
    pictures = [None if _is_missing(cell) else cell for cell in cells[path]]
    used = [row for row in range(count) if pictures[row] is not None]
    if all_rows and len(used) < count:
        first = next(row for row in range(count) if pictures[row] is None)
        missing = format_count(count - len(used), "row")
        raise InvalidValue(
            f"Each row of the table is an image. Received: {missing} without one, the first "
            f"at position {first}. Leave such rows out, for example with "
            f"frame.dropna(subset=[{header[path]!r}])."
        )
    # What stands for a picture here needs no text: only whether there is one counts.
    cells[path] = [None if picture is None else "picture" for picture in pictures]
    notes: list[str] = []
    table = make_image_table(made, NAME, notes, with_columns=True)
    return table, [pictures[row] for row in used]


def _open(frame: Any) -> tuple[list[str], Callable[[int], list[Any]]]:
    """Return the names of the columns, and what returns the values of one."""
    if hasattr(frame, "column_names") and hasattr(frame, "column"):  # Of Arrow.
        return list(frame.column_names), lambda number: frame.column(number).to_pylist()
    if hasattr(frame, "iloc"):
        return list(map(str, frame.columns)), lambda number: frame.iloc[:, number].tolist()
    if hasattr(frame, "to_series"):
        return list(frame.columns), lambda number: frame.to_series(number).to_list()
    remedy = "Pass (key, image) or (key, image, label) of its rows."
    remedy = "Call .collect() first." if hasattr(frame, "collect") else remedy
    raise InvalidValue(
        "A table of images is a data frame of pandas or polars, or a table of Arrow. Received: "
        f"{type(frame).__module__}.{type(frame).__name__}. {remedy}"
    )


def _is_missing(cell: Any) -> bool:
    if isinstance(cell, os.PathLike):
        return False
    try:
        value = plain_value(cell)
    except NoColumn:
        return False  # A picture.
    return value is None or not str(value).strip()


def _label(value: Any) -> str | None:
    try:
        return label_text(plain_value(value))
    except NoColumn:
        return label_text(value)  # Says what a label is.
