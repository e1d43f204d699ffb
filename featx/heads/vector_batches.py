"""Features as a head takes them, batch by batch: of pictures, or of those in a store."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import FingerprintMismatch, InvalidValue, UnknownName, join_names
from featx.events import Listener
from featx.features.batch_queue import ComputedBatch
from featx.features.embedding import iter_embedded
from featx.features.query_images import QueryImages
from featx.files import is_hdf5
from featx.heads.head import Head
from featx.images.roots import Root
from featx.images.sources import ImageFailure, ImageItem, Images
from featx.images.sources.columns import list_values, value_at
from featx.objects.addresses import names_store
from featx.objects.copies import copy_of
from featx.options import RunOptions, Selection
from featx.poolings import POOLINGS
from featx.specs import identity_differences
from featx.store import FeatureStore, open_store
from featx.wording import option


@dataclass(frozen=True, slots=True, eq=False)
class VectorBatch:
    """Features of B consecutive pictures.

    Attributes:
        root: What the keys are relative to.
        keys: B keys.
        labels: B labels, None where there is none.
        content_hash: uint8 (B, 16).
        values: float32 (B, D).
        columns: Those that say what the head predicts, B values each, None where one is missing.
    """

    root: Root
    keys: Sequence[str]
    labels: Sequence[str | None]
    content_hash: np.ndarray
    values: np.ndarray
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """B locations."""
        return [self.root.location(key) for key in self.keys]

    def without_values(self) -> VectorBatch:
        """Return it without the features, which are larger than everything else."""
        return replace(self, values=self.values[:0])

    def take(self, rows: np.ndarray) -> VectorBatch:
        """Return some of the pictures: their numbers."""
        chosen = rows.tolist()
        return VectorBatch(
            self.root,
            [self.keys[row] for row in chosen],
            [self.labels[row] for row in chosen],
            self.content_hash[rows],
            self.values[rows],
            {name: [values[row] for row in chosen] for name, values in self.columns.items()},
        )


def iter_vectors(
    query: QueryImages, head: Head, listener: Listener
) -> Iterator[VectorBatch | ImageFailure]:
    """Yield the head's feature of pictures, or of a store, for which no network is run.

    Args:
        query: The pictures or the store, of which only a split may be selected, and how pictures
            are read and computed.
        head: The head.
        listener: Is told how far it is, and which options a store does not use.

    Raises:
        InvalidValue: If a store is named beside others, or more is selected of it than a split.
        UnknownName: If the store lacks the layer.
        FingerprintMismatch: If its features were computed in another way than the head's.
    """
    file = "The head" if head.folder is None else f"The head {str(head.folder)!r}"
    POOLINGS.restore(head.feature.pool, file, head.feature.package)
    store = find_store(query.images)
    if store is None:
        return iter_images(query, head, listener)
    split = query.selection.split
    if query.selection != Selection(split=split):
        raise InvalidValue(
            f"Of a store, only {option('split')} selects images. Take away what else does."
        )
    unused = _list_network_options(query)
    if unused:
        listener.note(
            f"{join_names(unused, conjunction='and')} not used: no network is run for a store"
        )
    return iter_store(store, head, listener, split=split)


def _list_network_options(query: QueryImages) -> list[str]:
    """Return the given options of which only pictures and networks make use."""
    default = RunOptions()
    names = ("max_pixels", "batch_size", "workers", "engine", "precision", "scale")
    given = [option(name) for name in names if getattr(query.run, name) != getattr(default, name)]
    others = {
        "weights": query.weights is not None,
        "trust_model_code": query.trust_model_code,
        "allow_download": query.allow_download,
    }
    return [*given, *(option(name) for name, is_given in others.items() if is_given)]


def find_store(images: Images) -> Path | None:
    """Return the feature store that is to be predicted; None if there are pictures.

    Args:
        images: What `featx.predict` was given; a store that is open is read from its file.

    Raises:
        InvalidValue: If a store is named beside others.

    Example:
        >>> find_store("photos"), find_store(["a.jpg", "b.jpg"])
        (None, None)
    """
    given: object = images
    if isinstance(given, FeatureStore):
        return Path(given.path)
    named = images if isinstance(images, (list, tuple)) else [images]
    stores = [
        Path(one)
        for one in named
        if isinstance(one, (str, Path)) and (names_store(one) or is_hdf5(one))
    ]
    if stores and len(named) > 1:
        raise InvalidValue(
            f"A store is predicted by itself. Received: {str(stores[0])!r} and "
            f"{len(named) - 1:,} more."
        )
    return Path(copy_of(str(stores[0]))) if stores else None


def iter_images(
    query: QueryImages, head: Head, listener: Listener
) -> Iterator[VectorBatch | ImageFailure]:
    """Compute the head's feature of pictures; see `featx.features.embedding.iter_embedded`."""
    results = iter_embedded(query, head.model, head.feature, listener)
    return (
        result if isinstance(result, ImageFailure) else _take_batch(result, head)
        for result in results
    )


def _take_batch(batch: ComputedBatch, head: Head) -> VectorBatch:
    width = math.prod(head.feature.shape)
    return VectorBatch(
        batch.items[0].root,
        [item.key for item in batch.items],
        [item.label for item in batch.items],
        batch.content_hash,
        batch.features[head.feature.name].reshape(len(batch.items), width),
        _take_columns(batch.items, head.columns),
    )


def _take_columns(items: Sequence[ImageItem], names: Sequence[str]) -> dict[str, list[Any]]:
    """Return what the table of the pictures says in some columns, if it has them."""
    found: dict[str, list[Any]] = {}
    for name in names:
        rows = [item.row if item.row and name in item.row.columns else None for item in items]
        if any(row is not None for row in rows):
            found[name] = [row and value_at(row.columns[name], row.number) for row in rows]
    return found


def iter_store(
    path: Path, head: Head, listener: Listener, *, split: str | None = None
) -> Iterator[VectorBatch]:
    """Read the head's feature of the pictures of a store; no network is run.

    Args:
        path: The store.
        head: The head.
        listener: Is told how far it is.
        split: Only pictures of this split.

    Raises:
        InvalidValue: If no picture is of this split.
        UnknownName: If the store lacks the layer.
        FingerprintMismatch: If its features were computed in another way than the head's.
    """
    with open_store(path) as store:
        check_feature(store, head)
        if split is not None and split not in store.splits:
            known = ", ".join(sorted({each for each in store.splits if each is not None}))
            raise InvalidValue(
                f"No image of {str(path)!r} is of the split {split!r}. It has: {known or 'none'}."
            )
    return _read_batches(path, head, listener, split)


def _read_batches(
    path: Path, head: Head, listener: Listener, split: str | None
) -> Iterator[VectorBatch]:
    with open_store(path) as store:
        labels, hashes, root = store.labels, store.content_hash, store.root
        columns = {name: store.columns[name] for name in head.columns if name in store.columns}
        start = 0
        listener.start(len(store), "images")
        try:
            for block in store.iter_vectors(head.feature.name, head.feature.pool):
                rows = slice(start, start + len(block))
                part = None if split is None else np.array(store.splits[rows]) == split
                values = block.reshape(len(block), -1)
                said = {name: list_values(column[rows]) for name, column in columns.items()}
                batch = VectorBatch(
                    root, store.keys[rows], labels[rows], hashes[rows], values, said
                )
                yield batch if part is None else batch.take(np.flatnonzero(part))
                listener.advance(len(block))
                start += len(block)
        finally:
            listener.finish()


def check_feature(store: FeatureStore, head: Head) -> None:
    """Refuse a store of other features than those that a head takes.

    Raises:
        UnknownName: If the store lacks the layer.
        FingerprintMismatch: If its features were computed in another way.
    """
    feature = head.feature
    if feature.name not in store.layers:
        has = f"The head was fitted on it; the store has {join_names(store.layers)}."
        raise UnknownName("layer in the store", feature.name, store.layers, remedy=has)
    found = store.vector_spec(feature.name, feature.pool)
    if found.fingerprint(store.model) == head.fingerprint:
        return
    expected = head.model.identity() | feature.identity()
    raise FingerprintMismatch(
        f"The features in {str(store.path)!r} are not those that the head was fitted on.",
        identity_differences(expected, store.model.identity() | found.identity()),
        remedy="Name the pictures instead, or fit a head on this store.",
    )
