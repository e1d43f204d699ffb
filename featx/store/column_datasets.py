"""Further columns in a file: their datasets, written and read.

Column i is ``columns/c00i``: text of fixed length (empty where a value is missing), int64, float64
(NaN where it is missing) or bool. Of int64 and bool, ``columns/m00i`` says where a value is
missing. The names are in ``column_names``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from featx.images.sources.columns import Columns
from featx.store.columns import ColumnFormat, column_texts
from featx.store.datasets import create_rows, create_texts, encode_texts
from featx.store.format import COLUMN_CHUNK, READ_ERRORS, UNPACKED_RATIO

GROUP, COPIES = "columns", "copies"
"""The groups of columns of rows, and (in parts) of copies."""

NAMES = "column_names"

TEXT_CHUNK_BYTES = 1 << 22
"""Most bytes of a chunk of text, unless one text is longer; keys, which are short, need no limit.
"""


class ColumnWriter:
    """Writes columns into their datasets, block by block.

    Args:
        file: The file or group that gets the group of the columns.
        group: The group's name.
        num_rows: How many rows there are.
        formats: How each column is stored.
    """

    def __init__(
        self, file: Any, group: str, num_rows: int, formats: Mapping[str, ColumnFormat]
    ) -> None:
        self._formats = formats
        self._values: list[h5py.Dataset] = []
        self._masks: list[h5py.Dataset | None] = []
        for number, column in enumerate(formats.values()):
            values, mask = dataset_names(group, number)
            if column.kind == "text":
                rows = min(COLUMN_CHUNK, max(1, TEXT_CHUNK_BYTES // column.num_bytes))
                created = create_texts(file, values, num_rows, column.num_bytes, rows)
            else:
                created = create_rows(file, values, (num_rows,), column.kind)
            has_mask = column.kind in ("int64", "bool")
            self._values.append(created)
            self._masks.append(create_rows(file, mask, (num_rows,), bool) if has_mask else None)

    def write(self, start: int, columns: Columns, count: int) -> None:
        """Write `count` rows from row `start` on."""
        if not count:
            return
        for (name, column), values, mask in zip(
            self._formats.items(), self._values, self._masks, strict=True
        ):
            given = columns.get(name, np.full(count, None))
            rows = slice(start, start + count)
            if column.kind == "text":
                values[rows] = encode_texts(column_texts(given), values)
                continue
            if mask is None:
                values[rows] = given.astype(np.float64)  # NumPy makes NaN of None.
                continue
            missing = _is_missing(given)
            values[rows] = np.where(missing, 0, given).astype(values.dtype)
            mask[rows] = missing


def _is_missing(column: np.ndarray) -> np.ndarray:
    if column.dtype != object:
        return np.zeros(len(column), bool)
    return np.array([value is None for value in column], bool)


def dataset_names(group: str, number: int) -> tuple[str, str]:
    """Return the paths of a column's values, and of the marks where they are missing."""
    return f"{group}/c{number:03d}", f"{group}/m{number:03d}"


class StoredColumns(Mapping[str, np.ndarray]):
    """The columns of a store, each read when it is first asked for.

    Args:
        names: Their names.
        read: Returns the column with a number.
    """

    def __init__(self, names: Sequence[str], read: Callable[[int], np.ndarray]) -> None:
        self._number = {name: number for number, name in enumerate(names)}
        self._read = read
        self._known: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._known:
            column = self._read(self._number[name])
            column.flags.writeable = False  # Everybody gets the same array.
            self._known[name] = column
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._number)

    def __len__(self) -> int:
        return len(self._number)

    def __repr__(self) -> str:
        return f"StoredColumns({', '.join(self)})"


def read_column(file: h5py.File, group: str, number: int, *, salvage: bool = False) -> np.ndarray:
    """Read a column.

    Args:
        file: The file.
        group: The group that the column is in.
        number: Its number.
        salvage: Give missing values for what cannot be read.

    Raises:
        ValueError: If it is not as it is written, or its texts are larger than a file holds.
    """
    values, mask = dataset_names(group, number)
    dataset = file[values]
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return _read_texts(dataset, file.id.get_filesize(), salvage)
    try:
        column = np.asarray(dataset[:])
        if column.dtype == np.float64:
            return column
        missing = np.asarray(file[mask][:])
    except READ_ERRORS:
        if not salvage:
            raise
        return np.full(len(dataset), None)
    if not missing.any():
        return column
    objects = column.astype(object)
    objects[missing] = None
    return objects


def _read_texts(dataset: h5py.Dataset, file_bytes: int, salvage: bool) -> np.ndarray:
    known: dict[bytes, str | None] = {b"": None}  # Equal texts are one object.
    column = np.full(len(dataset), None)
    step = dataset.chunks[0] if dataset.chunks else max(1, len(dataset))
    left = UNPACKED_RATIO * file_bytes
    for start in range(0, len(dataset), step):
        try:
            piece = dataset[start : start + step].tolist()
        except READ_ERRORS:
            if not salvage:
                raise
            continue
        for row, data in enumerate(piece, start):
            if data not in known:
                left -= len(data)
                known[data] = data.decode()
            column[row] = known[data]
        if left < 0:
            raise ValueError(f"its texts are more than {UNPACKED_RATIO} times as long as the file")
    return column
