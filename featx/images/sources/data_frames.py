"""Data frames of pandas and polars, tables of Arrow: read as manifests are, and never imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from featx.errors import InvalidValue, join_names
from featx.images.sources.columns import NoColumn, is_missing, plain_value
from featx.images.sources.pixels import label_text
from featx.images.sources.table_columns import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    SPLIT_COLUMNS,
    ReadTable,
)
from featx.images.sources.tables import ImageTable, make_image_table

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

    Args:
        frame: The table.
        all_rows: Keep rows without a path or picture, which is then None; otherwise they are left
            out, as those of a manifest are.

    Raises:
        InvalidValue: If it has no column of paths or pictures, or cannot be read as it is.

    Example:
        >>> import pyarrow
        >>> frame = pyarrow.table({"path": ["a.jpg", None], "label": ["cat", "dog"], "age": [3, 4]})
        >>> table, pictures = read_data_frame(frame)
        >>> pictures, table.labels, table.columns["age"].tolist()
        (['a.jpg'], ['cat'], [3])
        >>> read_data_frame(frame, all_rows=True)[1]
        ['a.jpg', None]
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
    pictures = [None if is_missing(cell) else cell for cell in cells[path]]
    used = [row for row in range(count) if all_rows or pictures[row] is not None]
    # What stands for a picture here needs no text: only whether the row is used counts.
    cells[path] = [None] * count
    for row in used:
        cells[path][row] = "picture"
    notes = [left_out_note(NAME, count - len(used))] if len(used) < count else []
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


def left_out_note(name: str, count: int) -> str:
    """Return the line that says how many rows of a table or list name no image.

    Example:
        >>> left_out_note("the table", 1)
        'rows of the table without a path are left out: 1'
    """
    return f"rows of {name} without a path are left out: {count:,}"


def _label(value: Any) -> str | None:
    try:
        return label_text(plain_value(value))
    except NoColumn:
        return label_text(value)  # Says what a label is.
