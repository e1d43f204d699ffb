"""Which images of an index are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featx.index.conditions import select_rows
from featx.index.glob_rows import join_keys, match_keys
from featx.index.options import MatchOptions
from featx.index.own_store import open_own_store
from featx.index.text_column import Names
from featx.index.vector_index import VectorIndex

MANY = 100_000
"""Keys from which Arrow, which is loaded for it, finds globs faster."""


def select_images(index: VectorIndex, filters: MatchOptions) -> np.ndarray | None:
    """Return which rows are searched, bool (N,); None for all.

    Labels and paths are in the index; splits and columns are read from its store.

    Raises:
        UnknownName: If there is no such class, split or column.
        InvalidValue: If the condition on columns cannot be read.
        IndexFileError: If the store is needed and not here, or has changed.
    """
    if not filters.has_filter:
        return None
    allowed = np.ones(len(index), bool)
    if filters.label:
        labels = Names.of(index.description.labels)
        allowed &= labels.is_one_of(filters.label, "class in the index")
    if filters.path:
        keys = index.description.keys
        joined = join_keys(list(keys)) if len(keys) >= MANY else None
        allowed &= match_keys(keys, joined, filters.path)
    if filters.split or filters.where_column is not None:
        with open_own_store(index, "Splits and columns") as store:
            if filters.split:
                splits = Names.of(store.splits)
                allowed &= splits.is_one_of(filters.split, "split in the store")
            if filters.where_column is not None:
                columns: Mapping[str, Sequence[Any] | np.ndarray] = {
                    "key": store.keys,
                    "label": Names.of(store.labels),
                    "split": Names.of(store.splits),
                    **store.columns,
                }
                allowed &= select_rows(filters.where_column, columns, len(store))
    return allowed
