"""Which images of an index are searched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from featx.errors import UnknownName, join_names
from featx.images.sources.keys import natural_key
from featx.images.sources.request import make_exclusion
from featx.index.conditions import select_rows
from featx.index.options import MatchOptions
from featx.index.own_store import open_own_store
from featx.index.vector_index import VectorIndex

LISTED = 12
"""Names in a message, at most."""


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
            raise UnknownName(kind, name, known, remedy=_list_names(known))
    chosen = set(wanted)
    return np.fromiter((value in chosen for value in values), bool, len(values))


def _list_names(known: Collection[str]) -> str:
    """Return what there is, in a sentence."""
    if not known:
        return "No image has one."
    names = sorted(known, key=natural_key)
    if len(names) > LISTED:
        return f"There are {len(names):,}, such as {join_names(names[:3], conjunction='and')}."
    return f"What there is: {join_names(names, conjunction='and')}."
