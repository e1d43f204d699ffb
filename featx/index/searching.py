"""`search`: pictures in, matches out; builds the index or brings it up to date first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from featx.errors import FingerprintMismatch, IndexFileError, InvalidValue
from featx.events import Listener
from featx.features.embedding import embed_images
from featx.files import is_same_file
from featx.images.sources import ImageFailure, Images
from featx.index.building import build_index, default_index_path, is_current
from featx.index.description import description_path
from featx.index.vector_index import Match, VectorIndex, open_index
from featx.options import RunOptions
from featx.poolings import POOLINGS
from featx.specs import (
    DEFAULT_K,
    DEFAULT_READ_POOLING,
    DEFAULT_STORE,
    Engine,
    identity_differences,
)
from featx.store import open_store
from featx.units import format_count


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A query and its matches, best first.

    Attributes:
        query: The picture's path, or the key of an image in the store.
        path: The picture.
        matches: The matches.
    """

    query: str
    path: str
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class SearchReport:
    """Results in natural order of the queries, and queries that could not be used.

    Attributes:
        results: One for each query that could be used.
        failures: The others, with the reason.
        index_size: N, images in the index.
        layer: The layer that is compared.
    """

    results: tuple[QueryResult, ...]
    failures: tuple[ImageFailure, ...]
    index_size: int
    layer: str


def search(
    queries: Images = (),
    *,
    max_pixels: int | None = None,
    keys: Sequence[str] = (),
    features: str | Path | None = None,
    index: str | Path | None = None,
    layer: str | None = None,
    k: int = DEFAULT_K,
    threshold: float | None = None,
    workers: int | None = None,
    engine: Engine = "auto",
    weights: str | None = None,
    trust_model_code: bool = False,
    listener: Listener | None = None,
) -> SearchReport:
    """Find the stored images that look most like some pictures.

    Args:
        queries: Pictures: places or objects, as for `featx.extract`. They are embedded exactly as
            the store's were.
        max_pixels: Largest query that is decoded; 178,956,970 when None.
        keys: Images of the store as queries, by key: no network is run, and the image
            itself is left out of its matches.
        features: The feature store; ``features.h5`` when neither it nor `index` is given.
        index: The index; the store's name ending in ``.faiss`` when None. Built when it is
            missing and brought up to date when the store has changed.
        layer: The layer to compare; that of the index when None, or the deepest in the store
            when it is built.
        k: The most matches for each query.
        threshold: Leave out matches with a lower cosine similarity, in [-1, 1].
        workers: Threads that read and decode the queries.
        engine: See `featx.extract`; queries are computed in float32.
        weights: Where the model's weights (or its file or folder) lie now, if they have moved.
        trust_model_code: See `featx.load_model`.
        listener: Receives notes, progress and failures.

    Returns:
        The matches of each query.

    Raises:
        IndexFileError: If the index is damaged, or missing with no store to build it from.
        NotInstalled: If the index is of a kind, or has a pooling, that is not installed here.
        FingerprintMismatch: If index and store do not belong together.
        ImagesNotFound: If a query does not exist.

    Example:
        >>> search("query.jpg", features="no-such.h5")
        Traceback (most recent call last):
        ...
        featx.errors.StoreNotFound: There is no feature store 'no-such.h5'. ...
    """
    listener = listener or Listener()
    has_queries = not isinstance(queries, (list, tuple)) or len(queries) > 0
    if not has_queries and not keys:
        raise InvalidValue("Nothing to search for: name a picture, or an image with --key.")
    if threshold is not None and math.isnan(threshold):
        raise InvalidValue("A threshold is a number from -1 to 1. Received: nan.")
    if k < 1:
        raise InvalidValue(f"At least one match is asked for. Received: k={k}.")
    opened = _ready_index(features, index, layer, listener)
    if k > len(opened):
        listener.note(
            f"the index holds {format_count(len(opened), 'image')}: all of them are ranked"
        )

    results = [
        QueryResult(
            key,
            opened.root.location(key),
            tuple(opened.search_key(key, k, threshold=threshold)),
        )
        for key in keys
    ]
    failures: tuple[ImageFailure, ...] = ()
    if has_queries:
        _require_pooling(opened)
        embedded = embed_images(
            queries,
            opened.description.model,
            opened.description.feature,
            RunOptions(max_pixels, workers=workers, engine=engine),
            weights=weights,
            trust_model_code=trust_model_code,
            listener=listener,
        )
        failures = embedded.failures
        if embedded.items:
            found = opened.search(embedded.values, k, threshold=threshold)
            results += [
                QueryResult(item.location, item.location, tuple(matches))
                for item, matches in zip(embedded.items, found, strict=True)
            ]
    return SearchReport(tuple(results), failures, len(opened), opened.description.feature.name)


def _ready_index(
    features: str | Path | None,
    index: str | Path | None,
    layer: str | None,
    listener: Listener,
) -> VectorIndex:
    """Open the index that the arguments mean; build or renew it where needed."""
    store = Path(features) if features is not None else None
    if index is None:
        store = store or Path(DEFAULT_STORE)
        path = default_index_path(store)
        opened = _open_default(path, store, listener)
        if opened is not None and layer not in (None, opened.description.feature.name):
            # The store's index stays as it is: later searches without --layer go on with it.
            path = default_index_path(store, layer)
            opened = _open_default(path, store, listener)
    else:
        path = Path(index)
        opened = open_index(path) if path.exists() else None
    if opened is None:
        store = store or Path(DEFAULT_STORE)
        if index is not None and features is None and not store.is_file():
            raise IndexFileError(
                f"There is no index {str(path)!r}, and no {DEFAULT_STORE!r} to build it from."
            )
        open_store(store).close()  # Says what is missing before anything is announced.
        listener.note(f"building the index {str(path)!r} from {str(store)!r}")
        return build_index(store, layer=layer, output=path, listener=listener)

    feature = opened.description.feature
    built_from = opened.description.store.find(path.parent)
    source = store if store is not None and store.is_file() else built_from
    if source is None or is_current(opened, source):
        if layer in (None, feature.name):
            return opened
    elif built_from is not None and not is_same_file(source, built_from):
        _refuse_other_store(opened, source, [("store", str(source), str(built_from))])
    if layer is not None and layer != feature.name:
        raise FingerprintMismatch(
            f"The index {str(path)!r} compares another layer.",
            [("layer", layer, feature.name)],
            remedy="Build one for this layer: featx index --layer LAYER -o OTHER.faiss.",
        )
    assert source is not None
    named = index is not None
    both_named = named and features is not None
    return _renew(opened, source, path, listener, layer=layer, named=named, both_named=both_named)


def _open_default(path: Path, store: Path, listener: Listener) -> VectorIndex | None:
    """Open an index that the user did not name; None if it is to be built, or built anew."""
    if not path.exists() or not description_path(path).exists():
        return None
    try:
        return open_index(path)
    except IndexFileError as error:
        if not store.is_file():
            raise
        # Damaged, or half replaced by a process that was killed; it can be made again.
        listener.note(f"{str(error).removesuffix(' Build the index again with `featx index`.')}")
        return None


def _renew(
    opened: VectorIndex,
    source: Path,
    path: Path,
    listener: Listener,
    *,
    layer: str | None,
    named: bool,
    both_named: bool,
) -> VectorIndex:
    """Build an index again, for the same layer, from a store that has changed since.

    Args:
        opened: The index as it is.
        source: The store.
        path: The index's file.
        listener: Receives notes.
        layer: The layer that the user named: another one is no answer.
        named: Whether the user named the index: it is not turned into one of another layer.
        both_named: Whether the user named index and store: they must belong together.
    """
    feature = opened.description.feature
    _require_pooling(opened)
    differences = _feature_differences(opened, source)
    if differences and both_named:
        _refuse_other_store(opened, source, [])
    with open_store(source) as changed:
        layers = changed.layers
        if layer is not None:
            changed.spec(layer)  # Says which layers there are, if it is not one of them.
    if feature.name not in layers:
        if named:
            _refuse_other_store(opened, source, [])
        listener.note(f"{str(source)!r} holds {feature.name!r} no more: building the index anew")
        return build_index(source, output=path, kind=opened.description.kind, listener=listener)
    if differences:
        listener.note(f"{str(source)!r} was made in another way since: building the index anew")
    else:
        listener.note(f"{str(source)!r} has changed: bringing {str(path)!r} up to date")
    pool = DEFAULT_READ_POOLING if feature.pool == "none" else feature.pool
    return build_index(
        source,
        layer=feature.name,
        pool=pool,
        output=path,
        kind=opened.description.kind,
        previous=None if differences else opened,
        listener=listener,
    )


def _require_pooling(opened: VectorIndex) -> None:
    POOLINGS.restore(opened.description.feature.pool, f"The index {str(opened.path)!r}")


def _refuse_other_store(
    opened: VectorIndex, source: Path, differences: list[tuple[str, object, object]]
) -> NoReturn:
    raise FingerprintMismatch(
        f"The index {str(opened.path)!r} does not belong to {str(source)!r}.",
        [*differences, *_feature_differences(opened, source)],
        remedy="Build one from this store: featx index FEATURES -o OTHER.faiss.",
    )


def _feature_differences(opened: VectorIndex, source: Path) -> list[tuple[str, object, object]]:
    """Compare the feature that an index holds with what a store has under that name."""
    description = opened.description
    feature = description.feature
    expected = description.model.identity() | feature.identity()
    with open_store(source) as store:
        received = store.model.identity() | feature.identity()
        if feature.name in store.layers:
            # A layer stored as maps is pooled when it is read, in whatever way is asked for.
            received |= store.vector_spec(feature.name, feature.pool).identity()
        else:
            received |= {"layer": ", ".join(store.layers)}
    return identity_differences(expected, received)
