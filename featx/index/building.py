"""`build_index`: an index of a feature store. Never imports TensorFlow."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from featx.arguments import plain_arguments
from featx.checks import check_layer
from featx.errors import IndexFileError, InvalidType
from featx.events import Listener, choose_listener
from featx.files import describe_wrong_output, resolve_link
from featx.index.description import IndexDescription, description_path
from featx.index.kinds import DEFAULT_INDEX_KIND, INDEXES, is_index_file
from featx.index.vector_index import VectorIndex, normalize_rows
from featx.options import LayerSynonyms
from featx.poolings import check_vector_pool
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE
from featx.store import FeatureStore, open_store
from featx.store.choice import note_choice
from featx.store.reference import StoreReference
from featx.store.shifted import find_corrected
from featx.wording import command, option

INDEX_SUFFIX = ".faiss"

REUSED_ROWS = 1024
"""Rows in a block when an index is brought up to date."""


def default_index_path(features: str | Path, layer: str | None = None) -> Path:
    """Return the default path of the index of a store.

    Args:
        features: The store.
        layer: The layer, if it is not that of the store's first index.

    Example:
        >>> default_index_path("photos/features.h5").as_posix()
        'photos/features.faiss'
        >>> default_index_path("photos/features.h5", "block/relu").as_posix()
        'photos/features.block_relu.faiss'
    """
    path = Path(features).with_suffix(INDEX_SUFFIX)
    if layer is None:
        return path
    return path.with_name(f"{path.stem}.{re.sub(r'[^A-Za-z0-9_.-]', '_', layer)}{INDEX_SUFFIX}")


def check_index(name: str, value: Any) -> VectorIndex | None:
    """Return an index, or None; refuse anything else."""
    if value is None or isinstance(value, VectorIndex):
        return value
    raise InvalidType(f"{name!r} takes an index, see `featx.open_index`. Received: {value!r}.")


@plain_arguments(previous=check_index)
def build_index(
    features: str | Path = DEFAULT_STORE,
    *,
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    output: str | Path | None = None,
    kind: str = DEFAULT_INDEX_KIND,
    previous: VectorIndex | None = None,
    progress: bool | None = None,
    verbose: bool | None = None,
    listener: Listener | None = None,
    **synonyms: Unpack[LayerSynonyms],
) -> VectorIndex:
    """Build an index (cosine similarity) over the images of a store.

    Args:
        features: The feature store.
        layer: The layer; the deepest in the store when None.
        pool: Pooling of layers that were stored as maps.
        output: The file to write; the store's name ending in ``.faiss`` when None.
        kind: The kind of index, a name in `featx.index.kinds.INDEXES`; ``flat`` is exact.
        previous: An older index, of any kind: the vectors of images that it holds are taken from
            it if it is of the same feature, instead of reading and pooling them again.
        progress: Whether to show a progress bar; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives notes, in place of these two.
        synonyms: ``layers`` is ``layer``.

    Returns:
        The index, written and ready to search.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer, kind or pooling.
        IndexFileError: If the store is empty, or the index cannot be written.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(3), model=toy_model(), layers=["mean"], output="i.h5")
        >>> len(build_index("i.h5"))
        3
    """
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    layer = check_layer("layer", layer)
    features = Path(features)
    index_kind = INDEXES[kind]
    check_vector_pool("pooling of an index", pool)
    path = _choose_path(features, output)
    with open_store(features) as store:
        if not len(store):
            raise IndexFileError(
                f"{str(features)!r} holds no features: none of its images could be used. "
                f"{command('info')} lists the reasons."
            )
        note_choice(store, layer, pool, listener)
        folder = path.absolute().parent
        description = IndexDescription(
            keys=store.keys,
            labels=store.labels,
            content_hash=store.content_hash.tobytes(),
            feature=store.vector_spec(layer, pool),
            model=store.model,
            store=StoreReference.to(store, folder),
            root=store.root,
            root_relative=store.root.relative_to(folder),
            kind=kind,
        )
        if previous is not None and previous.description.fingerprint != description.fingerprint:
            previous = None
        blocks = _NormalizedBlocks(store, layer, pool, previous, listener)
        shape = (len(store), math.prod(description.feature.shape))
        index = VectorIndex(index_kind.build(blocks, shape), description, path)
    index.save(path)
    return index


@dataclass(frozen=True, slots=True)
class _NormalizedBlocks:
    """Blocks of a layer's vectors in order, of length 1; known ones from a previous index."""

    store: FeatureStore
    layer: str | None
    pool: str
    previous: VectorIndex | None
    listener: Listener

    def __iter__(self) -> Iterator[np.ndarray]:
        self.listener.start(len(self.store), "vectors")
        try:
            for block in self._read() if self.previous is None else self._update(self.previous):
                yield block
                self.listener.advance(len(block))
        finally:
            self.listener.finish()

    def _read(self) -> Iterator[np.ndarray]:
        for block in self.store.iter_vectors(self.layer, self.pool):
            yield normalize_rows(block.reshape(len(block), -1))

    def _update(self, previous: VectorIndex) -> Iterator[np.ndarray]:
        known = previous.vectors_by_content()
        corrected = find_corrected(self.store)
        rows = np.array(
            [
                -1 if key in corrected else known.get(content.tobytes(), -1)
                for key, content in zip(self.store.keys, self.store.content_hash, strict=True)
            ]
        )
        width = math.prod(self.store.vector_spec(self.layer, self.pool).shape)
        for start in range(0, len(rows), REUSED_ROWS):
            old = rows[start : start + REUSED_ROWS]
            block = np.empty((len(old), width), np.float32)
            block[old >= 0] = previous.vectors(old[old >= 0])
            new = np.flatnonzero(old < 0)
            values = self.store.vectors(self.layer, self.pool, start + new)
            block[new] = normalize_rows(values.reshape(-1, width))
            yield block


def is_current(index: VectorIndex, features: Path) -> bool:
    """Whether an index was built from a store as it is now."""
    with open_store(features) as store:
        return store.contents == index.description.store.contents


def _choose_path(features: Path, output: str | Path | None) -> Path:
    """Return the file to write.

    Raises:
        IndexFileError: If it cannot be one, or is something else than an index.
    """
    path = resolve_link(default_index_path(features) if output is None else Path(output))
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise IndexFileError(describe_wrong_output(path))
    is_index = not path.exists() or description_path(path).exists() or is_index_file(path)
    if path.absolute() == features.absolute() or not is_index:
        raise IndexFileError(
            f"{str(path)!r} exists and is not an index; it is left alone. "
            f"Choose another file with {option('output')}."
        )
    return path
