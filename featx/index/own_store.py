"""The store of an index, for what only the store has: splits, columns, maps."""

from __future__ import annotations

from featx.errors import IndexFileError, StoreError
from featx.index.vector_index import VectorIndex
from featx.store import FeatureStore, open_store
from featx.wording import option


def open_own_store(index: VectorIndex, wanted: str) -> FeatureStore:
    """Open the store of an index, if it is as it was then.

    Args:
        index: The index.
        wanted: What is needed of it, as an error names it first.

    Raises:
        IndexFileError: If it is not here, or has changed.
    """
    reference = index.description.store
    path = reference.find(index.path.absolute().parent)
    try:
        store = None if path is None else open_store(path)
    except StoreError:
        store = None
    if store is not None and store.contents == reference.contents:
        return store
    if store is not None:
        store.close()
    raise IndexFileError(
        f"{wanted} are in the store {reference.path!r}, which is not here or has changed. Name it "
        f"with {option('features')}."
    )
