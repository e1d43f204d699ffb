"""The rows of one store, or of two that are compared, as curation looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from featx.curation.mapped_values import BLOCK, read_values
from featx.curation.pictures import PictureFile
from featx.errors import FingerprintMismatch
from featx.events import Listener
from featx.heads.options import FeatureChoice
from featx.heads.usable_rows import UNUSABLE, find_usable
from featx.images.roots import Root
from featx.specs import identity_differences
from featx.store import FeatureStore
from featx.store.choice import note_choice
from featx.units import format_count
from featx.wording import option


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """N rows of one store, or of two.

    Attributes:
        layer: The layer.
        roots: What the keys of each store are relative to.
        source: Which store each row is of: 0 or 1, (N,).
        keys: N keys.
        labels: N labels, None where there is none.
        splits: N names of splits, None where there is none.
        content_hash: uint8 (N, 16).
        file_size: Bytes of each file, (N,).
        values: Features, finite, float32 (N, D).
    """

    layer: str
    roots: tuple[Root, ...]
    source: np.ndarray
    keys: tuple[str, ...]
    labels: tuple[str | None, ...]
    splits: tuple[str | None, ...]
    content_hash: np.ndarray
    file_size: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def location(self, row: int) -> str:
        """Return where the picture of a row is."""
        root: Root = self.roots[self.source[row]]
        return root.location(self.keys[row])

    def file(self, row: int) -> PictureFile:
        """Return how the picture of a row is read again."""
        root, key = self.roots[self.source[row]], self.keys[row]
        return PictureFile(root, key, self.content_hash[row].tobytes())

    def copies(self) -> np.ndarray:
        """Return group numbers, (N,), equal for identical contents."""
        if not len(self):
            return np.zeros(0, np.int64)
        return np.unique(self.content_hash, axis=0, return_inverse=True)[1].reshape(-1)

    def take(self, rows: np.ndarray) -> Collection:
        """Return some of the rows, by their numbers."""
        chosen = rows.tolist()
        return replace(
            self,
            source=self.source[rows],
            keys=tuple(self.keys[row] for row in chosen),
            labels=tuple(self.labels[row] for row in chosen),
            splits=tuple(self.splits[row] for row in chosen),
            content_hash=self.content_hash[rows],
            file_size=self.file_size[rows],
            values=self.values[rows],
        )


def read_collection(
    stores: Sequence[FeatureStore], feature: FeatureChoice, listener: Listener
) -> Collection:
    """Read one store, or two of the same feature.

    Rows whose features are NaN, infinite or above 1e15 are left out, with a note.

    Args:
        stores: The open stores.
        feature: The layer and its pooling.
        listener: Receives notes.

    Raises:
        FingerprintMismatch: If the features of two stores cannot be compared.
        UnknownName: If there is no such layer.
    """
    first = stores[0]
    note_choice(first, feature.layer, feature.pool, listener)
    spec = first.vector_spec(feature.layer, feature.pool)
    for store in stores[1:]:
        _check_same(first, store, feature)
    listener.trying(f"reading {format_count(sum(map(len, stores)), 'vector')}")
    try:
        values = read_values(stores, feature)
    finally:
        listener.finish()
    collection = Collection(
        layer=spec.name,
        roots=tuple(store.root for store in stores),
        source=np.repeat(np.arange(len(stores)), [len(store) for store in stores]),
        keys=tuple(key for store in stores for key in store.keys),
        labels=tuple(label for store in stores for label in store.labels),
        splits=tuple(split for store in stores for split in store.splits),
        content_hash=np.concatenate([store.content_hash for store in stores]),
        file_size=np.concatenate([store.file_size for store in stores]),
        values=values,
    )
    return _leave_out_broken(collection, listener)


def _leave_out_broken(collection: Collection, listener: Listener) -> Collection:
    is_broken = np.zeros(len(collection), bool)
    for start in range(0, len(collection), BLOCK):
        is_broken[start : start + BLOCK] = ~find_usable(collection.values[start : start + BLOCK])
    if not is_broken.any():
        return collection
    first = collection.keys[int(is_broken.argmax())]
    listener.note(
        f"{format_count(int(is_broken.sum()), 'image')} with features that are {UNUSABLE} "
        f"left out, the first {first!r}"
    )
    return collection.take(np.flatnonzero(~is_broken))


def _check_same(first: FeatureStore, second: FeatureStore, feature: FeatureChoice) -> None:
    identities = [
        store.model.identity() | store.vector_spec(feature.layer, feature.pool).identity()
        for store in (first, second)
    ]
    differences = identity_differences(*identities)
    if differences:
        raise FingerprintMismatch(
            f"The features in {str(second.path)!r} cannot be compared with those in "
            f"{str(first.path)!r}.",
            differences,
            remedy=f"Extract both with the same model, or name a layer that both have with "
            f"{option('layer')}.",
        )
