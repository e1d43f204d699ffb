"""What is known of a store's rows, in arrays: filters over a million rows take milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from featx.errors import UnknownName
from featx.images.sources.columns import Columns, value_at
from featx.images.sources.request import make_exclusion
from featx.index.conditions import select_rows
from featx.index.options import MatchOptions
from featx.store import FeatureStore
from featx.store.columns import kind_of

MOST_VALUES = 200
"""Texts of a column, or folders, that are counted for people to choose from."""


@dataclass(frozen=True, slots=True)
class Names:
    """A column of names, such as labels.

    Attributes:
        names: C names.
        codes: int32 (N,): the number of each row's name, -1 where there is none.
    """

    names: tuple[str, ...]
    codes: np.ndarray

    @classmethod
    def of(cls, values: Sequence[str | None], names: Sequence[str]) -> Names:
        """Return the column of N values, each of which is one of the names, or None."""
        numbers: dict[str | None, int] = {name: code for code, name in enumerate(names)}
        numbers[None] = -1
        codes = np.fromiter((numbers[value] for value in values), np.int32, len(values))
        return cls(tuple(names), codes)

    def __getitem__(self, row: int) -> str | None:
        code = int(self.codes[row])
        return None if code < 0 else self.names[code]

    def counts(self) -> dict[str, int]:
        """Return how many rows each name has."""
        found = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))
        return dict(zip(self.names, found.tolist(), strict=True))

    def is_one_of(self, wanted: Sequence[str], kind: str) -> np.ndarray:
        """Return which rows have one of some names, bool (N,).

        Raises:
            UnknownName: If there is no such name.
        """
        numbers = {name: code for code, name in enumerate(self.names)}
        for name in wanted:
            if name not in numbers:
                raise UnknownName(kind, name, self.names)
        chosen = np.zeros(len(self.names) + 1, bool)  # The last one is for -1.
        chosen[[numbers[name] for name in wanted]] = True
        return np.asarray(chosen[self.codes])


class RowColumns:
    """The columns of N rows, read once.

    Attributes:
        keys: N keys.
        labels: Their labels.
        splits: Their splits.
        columns: Further columns.
    """

    def __init__(self, keys: tuple[str, ...], labels: Names, splits: Names, more: Columns) -> None:
        self.keys, self.labels, self.splits, self.columns = keys, labels, splits, more
        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    @classmethod
    def read(cls, store: FeatureStore) -> RowColumns:
        """Read the columns of a store."""
        return cls(
            store.keys,
            Names.of(store.labels, store.classes),
            Names.of(store.splits, store.split_names),
            dict(store.columns),
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
        first = np.searchsorted(self._hashes, number, "left")
        end = np.searchsorted(self._hashes, number, "right")
        for row in self._order[first:end].tolist():
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
            matches = make_exclusion(filters.path)
            assert matches is not None
            left = np.flatnonzero(allowed)
            allowed[left] = [matches(self.keys[row]) for row in left.tolist()]
        if filters.where_column is not None:
            allowed &= select_rows(filters.where_column, self._conditions, len(self.keys))
        return allowed

    @cached_property
    def _conditions(self) -> Mapping[str, Any]:
        labels, splits = (
            [names[row] for row in range(len(self.keys))] for names in (self.labels, self.splits)
        )
        return {"key": self.keys, "label": labels, "split": splits, **self.columns}

    def describe(self, row: int) -> dict[str, Any]:
        """Return what is known of a row as JSON-serialisable values."""
        return {
            "row": row,
            "key": self.keys[row],
            "label": self.labels[row],
            "split": self.splits[row],
            "columns": {name: value_at(column, row) for name, column in self.columns.items()},
        }

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What people can choose from: classes, splits, folders and columns, with counts."""
        return {
            "classes": self.labels.counts(),
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


def _describe_column(name: str, column: np.ndarray) -> dict[str, Any]:
    kind = kind_of(column)
    said: dict[str, Any] = {"name": name, "kind": kind}
    values = [value for value in column.tolist() if value is not None and value == value]
    if kind in ("int64", "float64") and values:
        return said | {"least": min(values), "most": max(values)}
    counts: dict[str, int] = {}
    for value in values:
        text = str(value) if kind == "text" else str(value).lower()
        counts[text] = counts.get(text, 0) + 1
    if len(counts) <= MOST_VALUES:
        said["values"] = counts
    return said
