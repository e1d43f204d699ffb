"""Features that are compared: in memory, or in a temporary file where there are many."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence

import numpy as np

from featx.heads.options import FeatureChoice
from featx.store import FeatureStore

MOST_IN_MEMORY = 1 << 28
"""Bytes of features up to which they are held in memory."""

BLOCK = 16_384
"""Rows that are looked at at a time."""


def read_values(stores: Sequence[FeatureStore], feature: FeatureChoice) -> np.ndarray:
    """Read the features of some stores, one after the other, float32 (N, D).

    More than `MOST_IN_MEMORY` bytes are copied into a temporary file, which is mapped, so that the
    system keeps as much of it in memory as there is room for. They are in memory where the disk
    has no room.

    Args:
        stores: The open stores.
        feature: The layer and its pooling.
    """
    width = math.prod(stores[0].vector_spec(feature.layer, feature.pool).shape)
    count = sum(map(len, stores))
    if 4 * count * width > MOST_IN_MEMORY:
        mapped = _map_values(stores, feature, (count, width))
        if mapped is not None:
            return mapped
    tables = [
        store.table(feature.layer, pool=feature.pool).values.reshape(len(store), width)
        for store in stores
    ]
    return tables[0] if len(tables) == 1 else np.concatenate(tables)


def _map_values(
    stores: Sequence[FeatureStore], feature: FeatureChoice, shape: tuple[int, int]
) -> np.ndarray | None:
    try:
        with tempfile.TemporaryFile(prefix="featx-") as file:
            for store in stores:
                for block in store.iter_vectors(feature.layer, feature.pool):
                    # Written, not mapped: a full disk is then an error that can be handled.
                    file.write(np.ascontiguousarray(block, np.float32).data)
            file.flush()
            return np.memmap(file, np.float32, "r", shape=shape)  # It outlives the open file.
    except OSError:
        return None
