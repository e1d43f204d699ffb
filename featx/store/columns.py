"""Further columns of rows, in memory: what kind they are, and how blocks of them are joined.

A column is as `featx.images.sources.columns` describes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from featx.images.sources.columns import Columns, text_of

Kind = Literal["text", "int64", "float64", "bool"]


@dataclass(frozen=True, slots=True)
class ColumnFormat:
    """How a column is stored.

    Attributes:
        kind: What its values are.
        num_bytes: Length of the longest text in UTF-8.
    """

    kind: Kind
    num_bytes: int = 1


_KINDS: Mapping[type, Kind] = {str: "text", int: "int64", float: "float64", bool: "bool"}


def kind_of(column: np.ndarray) -> Kind | None:
    """Return what the values of a column are; None where all are missing.

    Example:
        >>> kind_of(np.array([True, None], object)), kind_of(np.array([np.nan]))
        ('bool', None)
    """
    kinds = _kinds_of(column)
    if kinds == {"int64", "float64"}:
        return "float64"
    return next(iter(kinds), None) if len(kinds) < 2 else "text"


def _kinds_of(column: np.ndarray) -> set[Kind]:
    """Return the kinds of a column's values; those of blocks that were joined may be several."""
    if column.dtype == object:
        return {_KINDS[type(value)] for value in column if value is not None}
    if column.dtype.kind == "f":
        return set() if bool(np.isnan(column).all()) else {"float64"}
    return {"bool" if column.dtype == np.bool_ else "int64"} if len(column) else set()


def plan_columns(blocks: Iterable[Columns]) -> dict[str, ColumnFormat]:
    """Return how the columns of some rows are stored together, in the order in which they come.

    A column of several kinds is text, one of whole numbers and floats is of floats; one without
    any value is none.
    """
    found: dict[str, list[np.ndarray]] = {}
    for block in blocks:
        for name, column in block.items():
            found.setdefault(name, []).append(column)
    formats = {name: _join_formats(columns) for name, columns in found.items()}
    return {name: joined for name, joined in formats.items() if joined is not None}


def _join_formats(columns: Sequence[np.ndarray]) -> ColumnFormat | None:
    kinds = {kind for column in columns for kind in _kinds_of(column)}
    if not kinds:
        return None
    if kinds == {"int64", "float64"} and all(map(_is_exact, columns)):
        return ColumnFormat("float64")
    if kinds != {"text"} and len(kinds) == 1:
        return ColumnFormat(kinds.pop())
    longest = max(len(text.encode()) for column in columns for text in column_texts(column))
    return ColumnFormat("text", max(1, longest))


def _is_exact(column: np.ndarray) -> bool:
    """Whether the numbers of a column are the same as floats."""
    values = column.tolist()  # NumPy would compare a whole number as a float.
    return all(value is None or float(value) == value or value != value for value in values)


def column_texts(column: np.ndarray) -> list[str]:
    """Return the values of a column as text, empty where one is missing."""
    if column.dtype.kind == "f":
        return ["" if value != value else text_of(value) for value in column.tolist()]
    return ["" if value is None else text_of(value) for value in column.tolist()]


def select_rows(columns: Columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return rows of each column."""
    return {name: column[rows] for name, column in columns.items()}


def join_columns(blocks: Sequence[tuple[Columns, int]]) -> dict[str, np.ndarray]:
    """Put blocks of rows below one another; a column that a block does not have is missing there.

    Args:
        blocks: Columns and how many rows each block has.
    """
    names = dict.fromkeys(name for columns, _ in blocks for name in columns)
    return {
        name: _concatenate(
            [columns[name] if name in columns else np.full(n, None) for columns, n in blocks]
        )
        for name in names
    }


def _concatenate(pieces: Sequence[np.ndarray]) -> np.ndarray:
    if len({piece.dtype for piece in pieces}) == 1:
        return np.concatenate(pieces)
    return np.concatenate([piece.astype(object) for piece in map(_with_none, pieces)])


def _with_none(piece: np.ndarray) -> np.ndarray:
    if piece.dtype.kind != "f":
        return piece
    objects = piece.astype(object)
    objects[np.isnan(piece)] = None
    return objects
