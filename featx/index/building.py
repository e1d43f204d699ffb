"""`build_index`: an index of a feature store. Never imports TensorFlow."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from featx.arguments import plain_arguments
from featx.atomic import remove_file
from featx.checks.layers import check_layer
from featx.checks.texts import check_path
from featx.errors import IndexFileError, InvalidType, InvalidValue
from featx.events import Listener, Verbose, choose_listener
from featx.files import describe_wrong_output, resolve_link
from featx.index.choice import choose_kind, vector_bytes
from featx.index.description import IndexDescription, space_of
from featx.index.files import description_path, is_index_file
from featx.index.kinds import AUTO, INDEXES, Space
from featx.index.making import Draft, Older, write_index
from featx.index.memory import describe_excess
from featx.index.opening import open_index
from featx.index.options import BuildKeywords, IndexOptions
from featx.index.projection import Projection, read_projection
from featx.index.shared_training import (
    is_training,
    open_training,
    read_training_projection,
)
from featx.index.source import StoreVectors, fit_source
from featx.index.vector_index import VectorIndex
from featx.objects.addresses import Address
from featx.options import fill_group
from featx.poolings import check_vector_pool
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE, FeatureSpec
from featx.store import FeatureStore, open_store
from featx.store.choice import note_choice, require_rows
from featx.store.reference import StoreReference
from featx.store.shifted import find_corrected
from featx.user_cache import user_cache_folder
from featx.wording import option

INDEX_SUFFIX = ".faiss"


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
    path = _own_file(Path(features)).with_suffix(INDEX_SUFFIX)
    if layer is None:
        return path
    return path.with_name(f"{path.stem}.{re.sub(r'[^A-Za-z0-9_.-]', '_', layer)}{INDEX_SUFFIX}")


def _own_file(store: Path) -> Path:
    """Return the path beside which the index is: of a store at an address, in the user's cache."""
    address = Address.of_copy(store)
    if address is None:
        return store
    beside = user_cache_folder() / "indexes" / address.scheme / address.path
    beside.parent.mkdir(parents=True, exist_ok=True)
    return beside


def check_index(name: str, value: Any) -> VectorIndex | None:
    """Return an index, or None; refuse anything else."""
    if value is None or isinstance(value, VectorIndex):
        return value
    raise InvalidType(f"{name!r} takes an index, see `featx.open_index`. Received: {value!r}.")


@plain_arguments(IndexOptions, previous=check_index, trained_by=check_path)
def build_index(
    features: str | Path = DEFAULT_STORE,
    *,
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    output: str | Path | None = None,
    kind: str = AUTO,
    options: IndexOptions | None = None,
    previous: VectorIndex | None = None,
    trained_by: str | Path | None = None,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
    **keywords: Unpack[BuildKeywords],
) -> VectorIndex:
    """Build an index over the images of a store.

    Args:
        features: The feature store.
        layer: The layer; the deepest in the store when None.
        pool: Pooling of layers that were stored as maps.
        output: The file to write; the store's name ending in ``.faiss`` when None.
        kind: The kind of index, a name in `featx.index.kinds.INDEXES`; or ``auto``: exact while
            that answers in time and memory, otherwise one that looks in a part of the vectors.
        options: How vectors are compared, and what the index may cost.
        previous: An older index: what it holds of images that have not changed is taken over if
            it is of the same kind and compares the same feature in the same way.
        trained_by: The file of a training, see `featx.train_index`: by it the index is filled, so
            that it can be merged with others. Layer, pooling, kind and how vectors are compared are
            then those of the training.
        progress: Whether to show a progress bar; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives notes, in place of these two.
        keywords: Fields of `options` as keywords, such as ``min_recall=0.95``.

    Returns:
        The index, written and ready to search.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer, kind or pooling.
        FingerprintMismatch: If the training is of another feature.
        InvalidValue: If an option is not that of the training.
        IndexFileError: If the store is empty, or the index cannot be written.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(3), model=toy_model(), layers=["mean"], output="i.h5")
        >>> len(build_index("i.h5"))
        3
    """
    options = fill_group(IndexOptions, options, keywords)
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    layer = check_layer("layer", layer)
    if kind != AUTO:
        _ = INDEXES[kind]  # An unknown one is refused before anything is read.
    features = Path(features)
    check_vector_pool("pooling of an index", pool)
    path = choose_path(features, output)
    trained = None if trained_by is None else open_training(trained_by)
    if trained is not None:
        if previous is not None:
            raise InvalidValue(
                f"{option('trained_by')} fills an index anew: leave out the previous one."
            )
        kind, options = trained.kind, trained.fill_options(kind, options)
        layer, pool = trained.choose_layer(layer, pool)
    with open_store(features) as store:
        require_rows(store, IndexFileError)
        note_choice(store, layer, pool, listener)
        feature = store.vector_spec(layer, pool)
        description = describe_index(store, feature, path, (kind, options))
        source = StoreVectors(store, layer, pool, listener)
        note_excess(description.kind, description.space, options, listener)
        older = None
        if trained is not None:
            trained.check_store(store, feature)
            source = replace(source, projection=read_training_projection(trained))
        else:
            source, older = _connect(source, description, previous)
        write_index(Draft(source, description, path, listener, trained), older)
    remove_file(description_path(path))  # That of an older format.
    return open_index(path)


def note_excess(kind: str, space: Space, options: IndexOptions, listener: Listener) -> None:
    """Note what takes more memory than is allowed, if anything does."""
    excess = describe_excess(space, vector_bytes(kind, space.count, space.width), options)
    if excess is not None:
        listener.note(excess)


def describe_index(
    store: FeatureStore, feature: FeatureSpec, path: Path, asked: tuple[str, IndexOptions]
) -> IndexDescription:
    """Return the description of an index that is to be written.

    Args:
        store: The store.
        feature: The feature, pooling included.
        path: The file.
        asked: The kind that is asked for, and options.
    """
    requested, options = asked
    folder = path.absolute().parent
    width = space_of(len(store), feature, options).width
    return IndexDescription(
        keys=store.keys,
        labels=store.labels,
        content_hash=store.content_hash,
        feature=feature,
        model=store.model,
        store=StoreReference.to(store, folder),
        root=store.root,
        root_relative=store.root.relative_to(folder),
        kind=choose_kind(requested, len(store), width, options),
        options=options,
        requested_kind=requested,
    )


def _connect(
    source: StoreVectors, description: IndexDescription, previous: VectorIndex | None
) -> tuple[StoreVectors, Older | None]:
    """Return the vectors with their projection, and what can be taken over."""
    options = description.options
    if previous is not None and _compares_alike(previous.description, description):
        source = replace(source, projection=_projection_of(previous))
        if _is_alike(previous.description, description):
            return source, Older(previous, _find_old_rows(source.store, previous))
        return source, None
    return fit_source(source, options), None


def _projection_of(index: VectorIndex) -> Projection:
    width = math.prod(index.description.feature.shape)
    return read_projection(index.arrays, index.description.options, width)


def _compares_alike(first: IndexDescription, second: IndexDescription) -> bool:
    identities = [
        (one.fingerprint, one.options.metric, one.options.pca, one.options.whiten)
        for one in (first, second)
    ]
    return identities[0] == identities[1]


def _is_alike(first: IndexDescription, second: IndexDescription) -> bool:
    """Whether two indexes are of one kind, and built in one way."""
    return (first.kind, first.space.factory) == (second.kind, second.space.factory)


def _find_old_rows(store: FeatureStore, previous: VectorIndex) -> np.ndarray:
    """Return the row of each image in an older index, int64 (N,); -1 for new ones."""
    content, old = np.asarray(store.content_hash), previous.content_hash()
    rows = np.full(len(content), -1, np.int64)
    shared = min(len(content), len(old))  # Most images are where they were.
    same = np.flatnonzero((content[:shared] == old[:shared]).all(axis=1))
    rows[same] = same
    others = np.flatnonzero(rows < 0)
    if len(others):
        rows[others] = previous.find_contents(content[others])
    corrected = find_corrected(store)
    if corrected:
        rows[[key in corrected for key in store.keys]] = -1
    return rows


def is_current(index: VectorIndex, features: Path) -> bool:
    """Whether an index was built from a store as it is now."""
    with open_store(features) as store:
        return store.contents == index.description.store.contents


def choose_path(features: Path, output: str | Path | None) -> Path:
    """Return the file of an index that is to be written.

    Args:
        features: The store.
        output: The file that was asked for.

    Raises:
        IndexFileError: If it cannot be one, or is something else than an index.
    """
    path = resolve_link(default_index_path(features) if output is None else Path(output))
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise IndexFileError(describe_wrong_output(path))
    is_index = not path.exists() or description_path(path).exists() or not path.stat().st_size
    is_index = is_index or (is_index_file(path) and not is_training(path))
    if path.absolute() == features.absolute() or not is_index:
        raise IndexFileError(
            f"{str(path)!r} exists and is not an index; it is left alone. "
            f"Choose another file with {option('output')}."
        )
    return path
