"""What is known of a store's rows, in arrays: filters over a million rows take milliseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from featx.errors import UnknownName
from featx.heads.targets import split_labels
from featx.images.sources.columns import value_at
from featx.images.sources.keys import natural_key
from featx.index.conditions import select_rows
from featx.index.glob_rows import join_keys, match_keys
from featx.index.options import MatchOptions
from featx.index.text_column import Names
from featx.store import FeatureStore
from featx.store.columns import kind_of

Column = np.ndarray | Names

MOST_VALUES = 200
"""Texts of a column, or folders, that are counted for people to choose from."""


class RowColumns:
    """The columns of N rows, read once.

    Attributes:
        keys: N keys.
        labels: Their labels.
        splits: Their splits.
        columns: Further columns.
    """

    def __init__(
        self, keys: tuple[str, ...], labels: Names, splits: Names, more: Mapping[str, Column]
    ) -> None:
        self.keys, self.labels, self.splits, self.columns = keys, labels, splits, more

    def prepare(self) -> None:
        """Make now what somebody's request would wait for."""
        _ = self.summary, self._by_hash, self._joined_keys

    @cached_property
    def _by_hash(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows in the order of their keys' hashes, and these."""
        hashes = np.fromiter(map(hash, self.keys), np.int64, len(self.keys))
        order = np.argsort(hashes, kind="stable")
        return order, hashes[order]

    @classmethod
    def read(cls, store: FeatureStore) -> RowColumns:
        """Read the columns of a store."""
        return cls(
            store.keys,
            Names(store.classes, store.class_numbers.astype(np.int32)),
            Names(store.split_names, store.split_numbers.astype(np.int32)),
            {name: _read_column(column) for name, column in store.columns.items()},
        )

    def row(self, key: str) -> int:
        """Return the row of a key.

        Raises:
            UnknownName: If there is no such image.
        """
        row = self.find(key)
        if row is None:
            raise UnknownName("image in the store", key, ())
        return row

    def find(self, key: str) -> int | None:
        """Return the row of a key; None if there is no such image."""
        number = np.int64(hash(key))
        order, hashes = self._by_hash
        first, end = (np.searchsorted(hashes, number, side) for side in ("left", "right"))
        for row in order[first:end].tolist():
            if self.keys[row] == key:
                return int(row)
        return None

    def select(self, filters: MatchOptions) -> np.ndarray | None:
        """Return which rows filters leave, bool (N,); None for all. See `MatchOptions`.

        Raises:
            UnknownName: If there is no such class, split or column.
            InvalidValue: If the condition on columns cannot be read.
        """
        if not filters.has_filter:
            return None
        allowed = np.ones(len(self.keys), bool)
        if filters.label:
            allowed &= self.labels.is_one_of(filters.label, "class in the store")
        if filters.split:
            allowed &= self.splits.is_one_of(filters.split, "split in the store")
        if filters.path:
            allowed &= match_keys(self.keys, self._joined_keys, filters.path)
        if filters.where_column is not None:
            allowed &= select_rows(filters.where_column, self._conditions, len(self.keys))
        return allowed

    def have_labels(self, wanted: Sequence[str]) -> np.ndarray:
        """Return which rows have one of some single labels, bool (N,).

        Raises:
            UnknownName: If there is no such label.
        """
        known = self._single_labels
        for name in wanted:
            if name not in known:
                raise UnknownName("label in the store", name, tuple(known))
        codes = [code for name in wanted for code in known[name]]
        return np.isin(self.labels.codes, codes)

    @cached_property
    def _single_labels(self) -> dict[str, list[int]]:
        """Each label of images with several → the numbers of the classes that contain it."""
        found: dict[str, list[int]] = {}
        for code, name in enumerate(self.labels.names):
            for label in split_labels([name]):
                found.setdefault(label, []).append(code)
        return {name: found[name] for name in sorted(found, key=natural_key)}

    def _count_single_labels(self) -> dict[str, int]:
        """Return how many rows have each single label; nothing where no image has several."""
        if not any("|" in name for name in self.labels.names):
            return {}
        counts = list(self.labels.counts().values())
        return {
            name: sum(counts[code] for code in codes) for name, codes in self._single_labels.items()
        }

    @cached_property
    def _joined_keys(self) -> Any:
        return join_keys(self.keys)

    @cached_property
    def _conditions(self) -> Mapping[str, Any]:
        own = {"key": self.keys, "label": self.labels, "split": self.splits}
        return {**own, **self.columns}

    def describe(self, row: int) -> dict[str, Any]:
        """Return what is known of a row as JSON-serialisable values."""
        return {
            "row": row,
            "key": self.keys[row],
            "label": self.labels[row],
            "split": self.splits[row],
            "columns": {name: _value_at(column, row) for name, column in self.columns.items()},
        }

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What people can choose from: classes, splits, folders and columns, with counts."""
        return {
            "classes": self.labels.counts(),
            "single_labels": self._count_single_labels(),
            "unlabelled": int((self.labels.codes < 0).sum()),
            "splits": self.splits.counts(),
            "folders": self._count_folders(),
            "columns": [_describe_column(name, column) for name, column in self.columns.items()],
        }

    def _count_folders(self) -> dict[str, int]:
        """Return how many rows the folders have that most are in."""
        counts: dict[str, int] = {}
        for key in self.keys:
            folder = key.rpartition("/")[0]
            if folder:
                counts[folder] = counts.get(folder, 0) + 1
        most = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_VALUES]
        return {name: counts[name] for name in sorted(most)}


def _read_column(column: np.ndarray) -> Column:
    return Names.of(column.tolist()) if kind_of(column) == "text" else column


def _value_at(column: Column, row: int) -> Any:
    return column[row] if isinstance(column, Names) else _as_json(value_at(column, row))


def _as_json(value: Any) -> Any:
    """Return a value that JSON has: infinity is text."""
    is_number = not isinstance(value, float) or math.isfinite(value)
    return value if is_number else str(value)


def _describe_column(name: str, column: Column) -> dict[str, Any]:
    if isinstance(column, Names):
        counts = column.counts() if len(column.names) <= MOST_VALUES else None
        return {"name": name, "kind": "text"} | ({"values": counts} if counts else {})
    kind = kind_of(column)
    said: dict[str, Any] = {"name": name, "kind": kind}
    if column.dtype == np.float64:
        known = column[~np.isnan(column)]
        both = {"least": known.min(), "most": known.max()} if len(known) else {}
        return said | {end: _as_json(float(value)) for end, value in both.items()}
    values = [value for value in column.tolist() if value is not None and value == value]
    if kind == "bool":
        return said | {"values": {"true": values.count(True), "false": values.count(False)}}
    if not values:
        return said
    return said | {"least": _as_json(min(values)), "most": _as_json(max(values))}
