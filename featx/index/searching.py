"""`search`: pictures in, matches out; builds the index or brings it up to date first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featx.embedding import embed_images
from featx.errors import FingerprintMismatch, IndexFileError, InvalidValue, StoreNotFound
from featx.events import Listener
from featx.images.sources import ImageFailure
from featx.index.building import build_index, default_index_path, find_store, is_current
from featx.index.vector_index import Match, VectorIndex, description_path, open_index
from featx.specs import DEFAULT_STORE, identity_differences
from featx.store import open_store

DEFAULT_K = 10


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A query (a path, or a key) and its matches, best first."""

    query: str
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class SearchReport:
    """Results in natural order of the queries, and queries that could not be used.

    Attributes:
        results: One for each query that could be used.
        failures: The others, with the reason.
        index_size: N, images in the index.
        layer: The tap that is compared.
    """

    results: tuple[QueryResult, ...]
    failures: tuple[ImageFailure, ...]
    index_size: int
    layer: str


def search(
    queries: str | Path | Sequence[str | Path] = (),
    *,
    keys: Sequence[str] = (),
    features: str | Path | None = None,
    index: str | Path | None = None,
    layer: str | None = None,
    k: int = DEFAULT_K,
    threshold: float | None = None,
    workers: int | None = None,
    listener: Listener | None = None,
) -> SearchReport:
    """Find the stored images that look most like some pictures.

    Args:
        queries: Pictures: files or folders. They are embedded exactly as the store's were.
        keys: Images of the store as queries, by key: no network is run, and the image
            itself is left out of its matches.
        features: The feature store; ``features.h5`` when neither it nor `index` is given.
        index: The index; the store's name ending in ``.faiss`` when None. Built when it is
            missing and brought up to date when the store has changed.
        layer: The tap to compare, when an index is built; the deepest when None.
        k: The most matches for each query.
        threshold: Leave out matches with a lower cosine similarity, in [-1, 1].
        workers: Threads that read and decode the queries.
        listener: Receives notes, progress and failures.

    Returns:
        The matches of each query.

    Raises:
        IndexFileError: If the index is damaged, or missing with no store to build it from.
        FingerprintMismatch: If index and store do not belong together.
        ImagesNotFound: If a query does not exist.

    Example:
        >>> search("query.jpg", features="no-such.h5")
        Traceback (most recent call last):
        ...
        featx.errors.StoreNotFound: There is no feature store 'no-such.h5'. ...
    """
    listener = listener or Listener()
    paths = [queries] if isinstance(queries, (str, Path)) else list(queries)
    if not paths and not keys:
        raise InvalidValue("Nothing to search for: name a picture, or an image with --key.")
    if k < 1:
        raise InvalidValue(f"At least one match is asked for. Received: k={k}.")
    opened = _ready_index(features, index, layer, listener)
    if k > len(opened):
        listener.note(f"the index holds {len(opened)} images: all of them are ranked")

    results = [
        QueryResult(key, tuple(opened.search_key(key, k, threshold=threshold))) for key in keys
    ]
    failures: tuple[ImageFailure, ...] = ()
    if paths:
        embedded = embed_images(
            paths,
            opened.description.model,
            opened.description.feature,
            workers=workers,
            listener=listener,
        )
        failures = embedded.failures
        if embedded.items:
            found = opened.search(embedded.values, k, threshold=threshold)
            results += [
                QueryResult(str(item.path), tuple(matches))
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
    store: Path | None
    if index is None or not Path(index).exists():
        store = Path(features or DEFAULT_STORE)
        path = Path(index) if index is not None else default_index_path(store)
        if not store.is_file() and not path.is_file():
            if index is not None and features is None:
                raise IndexFileError(
                    f"There is no index {str(path)!r}, and no {DEFAULT_STORE!r} to build it from."
                )
            with open_store(store):  # Says what is missing.
                raise StoreNotFound(str(store))
    else:
        path = Path(index)
        store = Path(features) if features is not None else None

    if not path.exists() or (index is None and not description_path(path).exists()):
        listener.note(f"building the index {str(path)!r} from {str(store)!r}")
        return build_index(store or DEFAULT_STORE, layer=layer, output=path, listener=listener)

    opened = open_index(path)
    source = store if store is not None and store.is_file() else find_store(opened)
    if layer is not None and layer != opened.description.feature.name:
        if source is None or index is not None:
            raise FingerprintMismatch(
                f"The index {str(path)!r} compares another layer.",
                [("layer", layer, opened.description.feature.name)],
                remedy="Build one for this layer: featx index --layer LAYER -o OTHER.faiss.",
            )
        listener.note(f"building {str(path)!r} anew for the layer {layer!r}")
        return build_index(source, layer=layer, output=path, listener=listener)
    if source is None or is_current(opened, source):
        return opened
    if not _is_same_feature(opened, source, explicit=features is not None and index is not None):
        listener.note(f"{str(source)!r} was made in another way since: building the index anew")
        return build_index(source, output=path, listener=listener)
    listener.note(f"{str(source)!r} has changed: bringing {str(path)!r} up to date")
    feature = opened.description.feature
    return build_index(
        source,
        layer=feature.name,
        pool=feature.pool,
        output=path,
        listener=listener,
    )


def _is_same_feature(opened: VectorIndex, source: Path, *, explicit: bool) -> bool:
    """Whether the store still holds the feature that the index was built from.

    Raises:
        FingerprintMismatch: If it does not and the user named both: no guess is made then.
    """
    description = opened.description
    expected = description.model.identity() | description.feature.identity()
    with open_store(source) as store:
        received = dict(store.model.identity())
        if description.feature.name in store.taps:
            spec = store.spec(description.feature.name)
            # A tap stored as maps is pooled when it is read, in whatever way is asked for.
            stored_as_map = spec.pool == "none" and len(spec.shape) > 1
            received |= description.feature.identity() if stored_as_map else spec.identity()
        else:
            received |= description.feature.identity() | {"layer": ", ".join(store.taps)}
    differences = identity_differences(expected, received)
    if differences and explicit:
        raise FingerprintMismatch(
            f"The index {str(opened.path)!r} does not belong to {str(source)!r}.",
            differences,
            remedy="Build one from this store: featx index FEATURES -o OTHER.faiss.",
        )
    return not differences
