"""The feature store: an HDF5 file of keys, hashes, labels and features, row by row.

The format is described in docs/store.md, so that `h5py` alone is enough to read it. Names are
imported when they are first used: who reads a store needs no merging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featx.late_names import import_when_used

if TYPE_CHECKING:
    from featx.store.checking import Damage as Damage
    from featx.store.merging import MergeReport as MergeReport
    from featx.store.merging import merge_stores as merge_stores
    from featx.store.packing import PackReport as PackReport
    from featx.store.packing import pack_store as pack_store
    from featx.store.reader import FeatureStore as FeatureStore
    from featx.store.reader import open_store as open_store
    from featx.store.values import FeatureTable as FeatureTable
    from featx.store.verification import VerifyReport as VerifyReport
    from featx.store.verification import verify_store as verify_store

_PUBLIC = {
    "Damage": "featx.store.checking",
    "FeatureStore": "featx.store.reader",
    "FeatureTable": "featx.store.values",
    "MergeReport": "featx.store.merging",
    "PackReport": "featx.store.packing",
    "VerifyReport": "featx.store.verification",
    "merge_stores": "featx.store.merging",
    "open_store": "featx.store.reader",
    "pack_store": "featx.store.packing",
    "verify_store": "featx.store.verification",
}

__all__ = list(_PUBLIC)

if not TYPE_CHECKING:  # For type checkers, every name would then exist.
    __getattr__ = import_when_used(__name__, _PUBLIC)
