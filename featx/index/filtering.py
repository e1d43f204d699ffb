"""Which images of an index are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from featx.errors import UnknownName
from featx.images.sources.request import make_exclusion
from featx.index.conditions import select_rows
from featx.index.options import MatchOptions
from featx.index.own_store import open_own_store
from featx.index.vector_index import VectorIndex


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
        allowed &= _is_one_of(index.description.labels, filters.label, "class in the index")
    if filters.path:
        matches = make_exclusion(filters.path)
        assert matches is not None
        allowed &= np.fromiter(map(matches, index.description.keys), bool, len(index))
    if filters.split or filters.where_column is not None:
        with open_own_store(index, "Splits and columns") as store:
            if filters.split:
                allowed &= _is_one_of(store.splits, filters.split, "split in the store")
            if filters.where_column is not None:
                columns: Mapping[str, Sequence[Any] | np.ndarray] = {
                    "key": store.keys,
                    "label": store.labels,
                    "split": store.splits,
                    **store.columns,
                }
                allowed &= select_rows(filters.where_column, columns, len(store))
    return allowed


def _is_one_of(values: Sequence[str | None], wanted: Sequence[str], kind: str) -> np.ndarray:
    known = {value for value in values if value is not None}
    for name in wanted:
        if name not in known:
            raise UnknownName(kind, name, sorted(known))
    chosen = set(wanted)
    return np.fromiter((value in chosen for value in values), bool, len(values))
