"""Stores as tables for other libraries: pandas, Arrow, and through it polars."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.checks.libraries import require_library
from featx.errors import InvalidValue, join_names
from featx.images.sources.columns import list_values
from featx.images.sources.table_columns import PATH_COLUMNS, find_column
from featx.store.columns import kind_of
from featx.store.key_locator import KeyLocator

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from featx.store.stored_columns import StoreColumns


@dataclass(frozen=True, slots=True)
class Feature:
    """A layer to be put into a table.

    Attributes:
        name: Its name.
        width: D, its values in a row.
        read: Returns rows, float32 (n, D).
    """

    name: str
    width: int
    read: Callable[[np.ndarray], np.ndarray]

    @property
    def column(self) -> str:
        """The name of its column of lists; attention, for example, has a layer ``key``."""
        return f"{self.name}_" if self.name in ("key", "label", "split") else self.name


def name_columns(store: StoreColumns, taken: Collection[str] = ()) -> dict[str, Sequence[Any]]:
    """Return key, label, split where any row has one, and the further columns.

    Values are text, int, float or bool, and None where they are missing. A further column gets an
    underscore behind its name where that is taken.

    Args:
        store: The store.
        taken: Names that other columns will have.
    """
    columns: dict[str, Sequence[Any]] = {"key": store.keys, "label": store.labels}
    if any(store.splits):
        columns["split"] = store.splits
    for name, column in store.columns.items():
        while name in columns or name in taken:
            name += "_"
        columns[name] = list_values(column)
    return columns


def to_arrow(
    store: StoreColumns, rows: np.ndarray | None, feature: Feature | None
) -> pyarrow.Table:
    """Return rows as a table of Arrow; see `FeatureStore.to_arrow`."""
    arrow = require_library("pyarrow", "to_arrow")
    known = name_columns(store, () if feature is None else (feature.column,))
    chosen = np.arange(len(store.keys)) if rows is None else rows
    columns = {name: make_arrow_array(column).take(chosen) for name, column in known.items()}
    if feature is not None:
        columns[feature.column] = _make_lists(arrow, feature, chosen)
    return arrow.table(columns)


def make_arrow_array(column: Sequence[Any]) -> Any:
    """Return values of one kind as an array of Arrow; those of a column without any are text."""
    import pyarrow

    made = pyarrow.array(column)
    return made.cast(pyarrow.string()) if pyarrow.types.is_null(made.type) else made


def _make_lists(arrow: Any, feature: Feature, rows: np.ndarray) -> Any:
    """Return a layer as a column of lists; where the row is -1, there is none."""
    values = np.zeros((len(rows), feature.width), np.float32)
    known = rows >= 0
    values[known] = feature.read(rows[known])
    mask = None if known.all() else arrow.array(~known)
    flat = arrow.array(values.reshape(-1))
    return arrow.FixedSizeListArray.from_arrays(flat, feature.width, mask=mask)


def to_pandas(
    store: StoreColumns, rows: np.ndarray | None, feature: Feature | None
) -> pandas.DataFrame:
    """Return rows as a data frame of pandas; see `FeatureStore.to_pandas`."""
    require_library("pandas", "to_pandas")
    chosen = np.arange(len(store.keys)) if rows is None else rows
    frame = _make_pandas(store, chosen, feature)
    return frame.set_index("key")


def _make_pandas(
    store: StoreColumns, rows: np.ndarray, feature: Feature | None
) -> pandas.DataFrame:
    """Return rows of a store, missing where a row is -1, with a column ``key``."""
    import pandas

    names = [] if feature is None else [f"{feature.name}_{n}" for n in range(feature.width)]
    columns = {}
    for name, values in name_columns(store, set(names)).items():
        picked = [values[row] if row >= 0 else None for row in rows.tolist()]
        columns[name] = pandas.Series(picked, dtype=pandas_type(picked))
    frame = pandas.DataFrame(columns)
    if feature is None:
        return frame
    known = rows >= 0
    block = np.full((len(rows), feature.width), np.nan, np.float32)
    block[known] = feature.read(rows[known])
    return pandas.concat([frame, pandas.DataFrame(block, columns=names)], axis=1)


def pandas_type(values: Sequence[Any]) -> Any:
    """Return the type of a column in a data frame: one with missing values only if there are."""
    column = np.empty(len(values), object)
    column[:] = values
    has_gaps = any(value is None for value in values)
    kinds: dict[str | None, Any] = {
        "int64": "Int64" if has_gaps else np.int64,
        "bool": "boolean" if has_gaps else np.bool_,
        "float64": np.float64,
    }
    return kinds.get(kind_of(column), object)


def join(store: StoreColumns, frame: Any, on: str | None, feature: Feature | None) -> Any:
    """Put what is stored beside the rows of a data frame; see `FeatureStore.join`."""
    locator = KeyLocator(store.keys, store.root)
    if hasattr(frame, "iloc"):
        column = _choose_column(list(map(str, frame.columns)), on, has_index=True)
        named = frame.index if column is None else frame.iloc[:, column]
        rows = _locate(locator, list(named))
        right = _make_pandas(store, rows, feature).drop(columns="key")
        right.index = frame.index
        import pandas

        new = [name for name in right.columns if name not in frame.columns]
        return pandas.concat([frame, right[new]], axis=1)
    is_polars = hasattr(frame, "to_arrow") and hasattr(frame, "hstack")
    table = frame.to_arrow() if is_polars else frame
    if not hasattr(table, "column_names"):
        raise InvalidValue(
            "A data frame of pandas or polars, or a table of Arrow, is joined. Received: "
            f"{type(frame).__name__}."
        )
    column = _choose_column(list(table.column_names), on, has_index=False)
    rows = _locate(locator, table.column(column).to_pylist())
    added = _make_arrow_columns(store, rows, feature)
    for name, values in added.items():
        if name not in table.column_names:
            table = table.append_column(name, values)
    if not is_polars:
        return table
    polars = importlib.import_module("polars")
    new = [name for name in added if name not in frame.columns]
    return frame.hstack(polars.from_arrow(table.select(new)))


def _make_arrow_columns(
    store: StoreColumns, rows: np.ndarray, feature: Feature | None
) -> dict[str, Any]:
    arrow = require_library("pyarrow", "join")
    taken = () if feature is None else (feature.column,)
    indices = arrow.array(rows, mask=rows < 0)
    columns = {
        name: make_arrow_array(values).take(indices)
        for name, values in name_columns(store, taken).items()
        if name != "key"
    }
    if feature is not None:
        columns[feature.column] = _make_lists(arrow, feature, rows)
    return columns


def _choose_column(names: Sequence[str], on: str | None, *, has_index: bool) -> int | None:
    """Return the position of the column with keys or paths; None for the index of pandas."""
    if on is not None:
        if on not in names:
            raise InvalidValue(
                f"The frame has no column {on!r}. It has {join_names(names, conjunction='and')}."
            )
        return names.index(on)
    found = find_column(names, PATH_COLUMNS)
    if found is None and not has_index:
        raise InvalidValue(
            f"The frame has no column {join_names(PATH_COLUMNS[:5])} with keys or paths: name it "
            f"with on=. It has {join_names(names, conjunction='and')}."
        )
    return found


def _locate(locator: KeyLocator, keys: Sequence[Any]) -> np.ndarray:
    """Return the row of each key, -1 where there is none.

    Raises:
        InvalidValue: If they are no texts, or none of them is in the store.
    """
    found = [locator.find(key) if not _is_missing(key) else None for key in keys]
    rows = np.array([-1 if row is None else row for row in found], np.int64)
    if len(rows) and (rows < 0).all():
        raise InvalidValue(
            f"None of the {len(rows):,} rows names an image of the store. The first one: "
            f"{str(keys[0])!r}."
        )
    return rows


def _is_missing(key: Any) -> bool:
    return not (isinstance(key, str) or hasattr(key, "__fspath__"))
