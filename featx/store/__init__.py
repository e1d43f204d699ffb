"""The feature store: an HDF5 file of keys, hashes, labels and features, row by row.

The format is described in the README, so that `h5py` alone is enough to read it.
"""

from __future__ import annotations

from featx.store.reader import FeatureStore, FeatureTable, open_store

__all__ = ["FeatureStore", "FeatureTable", "open_store"]
