"""The features of a store that a head is fitted on: in memory, or where they are."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from featx.heads.kinds import BLOCK_VALUES
from featx.heads.options import FeatureChoice
from featx.heads.stored_values import StoredValues
from featx.store import FeatureStore, FeatureTable

HELD = 2.5
"""Bytes for each byte of features that a fit takes with all of them in memory, at most."""

PROCESS_BYTES = 150_000_000
"""What Python with NumPy, SciPy and h5py takes without any features."""

PART_SHARE = 8
"""A part of the rows is read at once if it takes no more than this share of the memory, or two
blocks."""


def read_table(store: FeatureStore, feature: FeatureChoice, max_memory: int | None) -> FeatureTable:
    """Return a layer's vectors, float32 (N, D): in memory, or `StoredValues` where they are large.

    Args:
        store: The store, which must stay open as long as these are used.
        feature: The layer and its pooling.
        max_memory: Bytes that the process may take; as many as there are when None.
    """
    spec = store.vector_spec(feature.layer, feature.pool)
    width = int(np.prod(spec.shape))
    size = 4 * len(store) * width
    most = max(8 * BLOCK_VALUES, (max_memory or 0) // PART_SHARE)
    if max_memory is None or size <= most or PROCESS_BYTES + HELD * size <= max_memory:
        table = store.table(feature.layer, pool=feature.pool)
        return replace(table, values=table.values.reshape(len(store), width))

    def read(rows: np.ndarray) -> np.ndarray:
        return store.vectors(feature.layer, feature.pool, rows).reshape(len(rows), width)

    values = cast(np.ndarray, StoredValues(read, np.arange(len(store)), width, most))
    return FeatureTable(store.keys, values, store.labels, store.content_hash, spec, store.model)
