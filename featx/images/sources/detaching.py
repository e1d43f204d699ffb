"""Images that are to be read elsewhere, without what belongs to others of their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from featx.images.sources.columns import TableRow
from featx.images.sources.items import Divisible, ImageItem, Reader


def detach(items: Sequence[ImageItem]) -> tuple[ImageItem, ...]:
    """Return images that hold, of their tables and archives, what is theirs.

    Example:
        >>> import numpy as np
        >>> from featx.images.roots import MEMORY
        >>> table = {"age": np.array([5, 6, 7])}
        >>> image = ImageItem("a.jpg", MEMORY, None, 1, 1, row=TableRow(table, 2))
        >>> detach([image])[0].row.columns
        {'age': array([7])}
    """
    rows = _detach_rows([item.row for item in items])
    readers = _detach_readers(items)
    return tuple(
        item if row is None and reader is None else replace(item, row=row, reader=reader)
        for item, row, reader in zip(items, rows, readers, strict=True)
    )


def _detach_rows(rows: Sequence[TableRow | None]) -> list[TableRow | None]:
    """Return rows of tables that have no other rows."""
    tables: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        if row is not None:
            tables.setdefault(id(row.columns), []).append(position)
    detached = list(rows)
    for positions in tables.values():
        chosen = [row for position in positions if (row := rows[position]) is not None]
        numbers = [row.number for row in chosen]
        columns = {name: column[numbers] for name, column in chosen[0].columns.items()}
        for number, position in enumerate(positions):
            detached[position] = TableRow(columns, number)
    return detached


def _detach_readers(items: Sequence[ImageItem]) -> list[Reader | None]:
    """Return readers of nothing but these images; those of one source share one."""
    keys: dict[int, list[str]] = {}
    readers: dict[int, Reader] = {}
    for item in items:
        if item.reader is not None:
            readers[id(item.reader)] = item.reader
            keys.setdefault(id(item.reader), []).append(item.key)
    for number, reader in readers.items():
        source: object = reader
        if isinstance(source, Divisible):
            readers[number] = source.of_keys(keys[number])
    return [readers.get(id(item.reader)) for item in items]
