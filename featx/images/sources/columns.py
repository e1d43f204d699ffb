"""Further columns of tables of images: beside path, label and split, everything else they say.

A column is an array of N values of one kind: text, whole numbers (int64), floats (float64) or bool.
A value may be missing: NaN in a column of floats, None in all others, which are then arrays of
objects. (A masked array would be smaller, but ``np.asarray`` drops the mask without a word.)
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.units import format_count

Columns = Mapping[str, np.ndarray]
"""Name → N values, as described above."""

MAX_COLUMNS = 256
"""Further columns of a table that are kept; it may come from a stranger."""

MAX_NAME_BYTES = 255
"""Length of a column's name in UTF-8."""

MAX_CELL_BYTES = 32_767
"""Length of a text in UTF-8: as many characters as a cell of a spreadsheet holds."""

_MISSING_NUMBERS = frozenset(
    ("na", "n/a", "nan", "null", "none", "#n/a", "<na>", "-nan")
)  # fmt: skip
"""What programs write into tables for a number that is not known, beside an empty cell."""

_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf(inity)?", re.I)
_COMMA = re.compile(r"[+-]?[0-9]+(,[0-9]+)?")
_CODE = re.compile(r"[+-]?(0[0-9]|[0-9]{20})")
"""How a number begins that is an identifier; whole numbers of int64 have at most 19 digits."""

_TRUTH = {"true": True, "false": False}
_INT64 = range(-(1 << 63), 1 << 63)


class NoColumn(ValueError):
    """Values cannot be kept as a column; the message goes on from ``it``."""


@dataclass(frozen=True, slots=True, eq=False)
class TableRow:
    """What one row of a table says beside path, label and split; all rows share the columns.

    Attributes:
        columns: The table's columns.
        number: The row.
    """

    columns: Columns
    number: int

    def values(self) -> dict[str, Any]:
        """Return name → value, None where it is missing."""
        return {name: value_at(column, self.number) for name, column in self.columns.items()}


def value_at(column: np.ndarray, number: int) -> Any:
    """Return one value of a column as Python has it; None where it is missing.

    Example:
        >>> value_at(np.array([1.5, np.nan]), 0), value_at(np.array([1.5, np.nan]), 1)
        (1.5, None)
    """
    value = column[number]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def list_values(column: np.ndarray) -> list[Any]:
    """Return the values of a column as Python has them; None where one is missing.

    Example:
        >>> list_values(np.array([1.5, np.nan]))
        [1.5, None]
    """
    values: list[Any] = column.tolist()
    if column.dtype.kind != "f":
        return values
    return [None if value != value else value for value in values]


def column_of_values(values: Iterable[Any]) -> np.ndarray:
    """Return values as a column; those of several kinds are text.

    Whole numbers beside floats are floats. Dates and times are text (ISO 8601), and an empty text
    is missing.

    Args:
        values: As Python, NumPy, pandas or Arrow has them.

    Raises:
        NoColumn: If one is a list, a structure or the like, or a text is too long.

    Example:
        >>> column_of_values([3, None]), column_of_values([3, 1.5]), column_of_values([3, "a"])
        (array([3, None], dtype=object), array([3. , 1.5]), array(['3', 'a'], dtype=object))
    """
    plain = [plain_value(value) for value in values]
    kinds = {type(value) for value in plain if value is not None}
    if kinds == {int, float}:
        exact = all(float(value) == value for value in plain if type(value) is int)
        kinds = {float} if exact else {int, float}
    if kinds == {float}:
        return np.array([math.nan if value is None else value for value in plain], np.float64)
    if len(kinds) == 1 and None not in plain and kinds <= {int, bool}:
        return np.array(plain, np.int64 if kinds == {int} else np.bool_)
    if len(kinds) > 1 or kinds == {str}:
        plain = [None if value is None else _check_text(text_of(value)) for value in plain]
    column = np.empty(len(plain), object)
    column[:] = plain
    return column


def column_of_cells(cells: Sequence[str], *, decimal_comma: bool = False) -> np.ndarray:
    """Return the cells of a text file as a column: numbers and truth values where all are such.

    A number that begins with a zero (``007``) or has more digits than a float holds is a text: an
    identifier, or a postal code.

    Args:
        cells: The texts; an empty one is missing, in a column of numbers also ``NA`` and the like.
        decimal_comma: Whether ``3,5`` is a number.

    Raises:
        NoColumn: If a text is too long.

    Example:
        >>> column_of_cells(["1", "NA", " 3"]), column_of_cells(["NA", "DE", ""])
        (array([1, None, 3], dtype=object), array(['NA', 'DE', None], dtype=object))
        >>> column_of_cells(["1", "2.5"]), column_of_cells(["True", "false"])
        (array([1. , 2.5]), array([ True, False]))
        >>> column_of_cells(["12345678901234567890"])
        array(['12345678901234567890'], dtype=object)
    """
    texts = [cell.strip() for cell in cells]
    given = [text for text in texts if text]
    if given and all(text.lower() in _TRUTH for text in given):
        return column_of_values([_TRUTH[text.lower()] if text else None for text in texts])
    numbers = [None if not text or text.lower() in _MISSING_NUMBERS else text for text in texts]
    known = [text for text in numbers if text is not None]
    if decimal_comma and any("," in text for text in known) and _all_match(_COMMA, known):
        numbers = [text and text.replace(",", ".") for text in numbers]
        known = [text for text in numbers if text is not None]
    has_codes = any(_CODE.match(text) for text in known)
    if known and not has_codes and _all_match(_FLOAT, known):
        column = column_of_values([None if text is None else _number(text) for text in numbers])
        if not any(isinstance(value, str) for value in column):  # Of so many digits: identifiers.
            return column
    return column_of_values(texts)


def collect_columns(
    names: Sequence[str], read: Callable[[int], np.ndarray], table: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the columns of a table that can be kept, and what to tell a person of the others.

    A column without a name (the numbers of the rows, as pandas writes them) or without a value is
    left out without a word.

    Args:
        names: The names, as they are spelled.
        read: Returns the column at a position in `names`; may raise `NoColumn`.
        table: The table, for messages.
    """
    columns: dict[str, np.ndarray] = {}
    left_out: list[str] = []
    for position, given in enumerate(names):
        name = given.strip()
        if not name:
            continue
        try:
            if name in columns:
                raise NoColumn("has the name of another")
            if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES or "\0" in name:
                raise NoColumn("has a name that is too long")
            if len(columns) == MAX_COLUMNS:
                raise NoColumn(f"is more than the {MAX_COLUMNS} that a store takes in at a time")
            column = read(position)
        except NoColumn as error:
            left_out.append(f"the column {name[:MAX_NAME_BYTES]!r} of {table!r} {error}")
            continue
        if has_values(column):
            column.flags.writeable = False
            columns[clean_text(name)] = column
    notes = [f"{what}: it is not kept" for what in left_out[:_SHOWN]]
    if len(left_out) > _SHOWN:
        more = format_count(
            len(left_out) - _SHOWN,
            f"more column of {table!r} is not kept",
            f"more columns of {table!r} are not kept",
        )
        notes.append(more)
    return columns, notes


_SHOWN = 3


def has_values(column: np.ndarray) -> bool:
    """Whether any value of a column is not missing."""
    if column.dtype == object:
        return any(value is not None for value in column)
    return bool(len(column)) and not (
        column.dtype.kind == "f" and bool(np.isnan(column).all())
    )  # fmt: skip


def text_of(value: Any) -> str:
    """Return a value as the text that stands for it in a column of several kinds."""
    return value if isinstance(value, str) else repr(value)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same, where one of them may stand in a column of another kind.

    Example:
        >>> is_same(3, 3.0), is_same(3, "3"), is_same(1, True), is_same(None, None)
        (True, True, False, True)
    """
    if isinstance(one, str) != isinstance(other, str) and None not in (one, other):
        return text_of(one) == text_of(other)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def clean_text(text: str) -> str:
    """Return a text as it can be stored: without zero bytes and halves of characters."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _number(text: str) -> int | float:
    return int(text) if _WHOLE.fullmatch(text) else float(text)


def _all_match(pattern: re.Pattern[str], texts: Sequence[str]) -> bool:
    return all(pattern.fullmatch(text) for text in texts)


def plain_value(value: Any) -> bool | int | float | str | None:
    """Return a value as one of Python's own, None if it is missing.

    Raises:
        NoColumn: If it is a list, a structure or the like.

    Example:
        >>> plain_value(np.float32(0.5)), plain_value(float("nan")), plain_value("")
        (0.5, None, None)
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value).__name__ in _MISSING:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return sys.intern(clean_text(str(value))) if value else None
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if value in _INT64 else str(value)
    if isinstance(value, (float, decimal.Decimal)):
        return None if math.isnan(value) else float(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value)
    raise NoColumn(f"holds neither text nor numbers ({type(value).__name__})")


def is_missing(value: Any) -> bool:
    """Whether there is no value: None, NaN, what pandas writes for them, or blank text.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), " ", "a.jpg", b"", 0)]
        [True, True, True, False, False, False]
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (float, decimal.Decimal)):
        return math.isnan(value)
    return value is None or type(value).__name__ in _MISSING


_MISSING = ("NAType", "NaTType")
"""What pandas has for values that are missing."""


def _check_text(text: str) -> str:
    if len(text.encode()) > MAX_CELL_BYTES:
        raise NoColumn(f"has a text of more than {MAX_CELL_BYTES:,} bytes")
    return text
