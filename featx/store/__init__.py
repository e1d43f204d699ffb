"""The feature store: an HDF5 file of keys, hashes, labels and features, row by row.

The format is described in docs/store.md, so that `h5py` alone is enough to read it.
"""

from __future__ import annotations

from featx.store.checking import Damage
from featx.store.merging import MergeReport, merge_stores
from featx.store.packing import PackReport, pack_store
from featx.store.reader import FeatureStore, open_store
from featx.store.values import FeatureTable
from featx.store.verification import VerifyReport, verify_store

__all__ = [
    "Damage",
    "FeatureStore",
    "FeatureTable",
    "MergeReport",
    "PackReport",
    "VerifyReport",
    "merge_stores",
    "open_store",
    "pack_store",
    "verify_store",
]
