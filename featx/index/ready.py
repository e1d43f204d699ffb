"""The index that a search asks for: opened, built, or brought up to date with its store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from featx.errors import FingerprintMismatch, IndexFileError
from featx.events import Listener
from featx.files import is_same_file
from featx.index.building import build_index, default_index_path, is_current
from featx.index.opening import open_index
from featx.index.vector_index import VectorIndex
from featx.poolings import POOLINGS
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE, identity_differences
from featx.store import open_store
from featx.wording import command, option


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """What a user named; None for the default.

    Attributes:
        features: The store.
        index: The index's file.
        layer: The layer to compare.
    """

    features: Path | None
    index: Path | None
    layer: str | None

    @property
    def names_both(self) -> bool:
        """Whether index and store were named: then they must belong together."""
        return self.index is not None and self.features is not None


def ready_index(request: IndexRequest, listener: Listener) -> VectorIndex:
    """Return the index that is asked for; build it or bring it up to date where needed.

    Raises:
        IndexFileError: If it is damaged, or missing with no store to build it from.
        NotInstalled: If it is of a kind that is not installed here.
        FingerprintMismatch: If index, store and layer do not belong together.
    """
    path, opened = _find(request, listener)
    if opened is None:
        return _build_new(request, path, listener)
    feature = opened.description.feature
    built_from = opened.description.store.find(path.parent)
    store = request.features
    source = store if store is not None and store.is_file() else built_from
    if source is None or is_current(opened, source):
        if request.layer in (None, feature.name):
            return opened
    elif built_from is not None and not is_same_file(source, built_from):
        _refuse_other_store(opened, source, [("store", str(source), str(built_from))])
    if request.layer not in (None, feature.name):
        raise FingerprintMismatch(
            f"The index {str(path)!r} compares another layer.",
            [("layer", request.layer, feature.name)],
            remedy="Build one for this layer: "
            f"{command('index', layer='LAYER', output='OTHER.faiss')}.",
        )
    assert source is not None
    return _renew(request, opened, source, listener)


def require_pooling(opened: VectorIndex) -> None:
    """Refuse an index whose vectors cannot be computed here.

    Raises:
        NotInstalled: If its pooling is not installed.
    """
    feature = opened.description.feature
    POOLINGS.restore(feature.pool, f"The index {str(opened.path)!r}", feature.package)


def _find(request: IndexRequest, listener: Listener) -> tuple[Path, VectorIndex | None]:
    """Return the path of the index, and the index if it exists and can be used."""
    if request.index is not None:
        path = request.index
        return path, open_index(path) if path.exists() else None
    store = request.features or Path(DEFAULT_STORE)
    path = default_index_path(store)
    opened = _open_default(path, store, listener)
    if opened is not None and request.layer not in (None, opened.description.feature.name):
        # The store's index stays as it is: later searches without --layer go on with it.
        path = default_index_path(store, request.layer)
        opened = _open_default(path, store, listener)
    return path, opened


def _open_default(path: Path, store: Path, listener: Listener) -> VectorIndex | None:
    """Open an index that the user did not name; None if it is to be built."""
    if not path.exists():
        return None
    try:
        return open_index(path)
    except IndexFileError as error:
        if not store.is_file():
            raise
        # Damaged, or half replaced by a process that was killed: it can be built again.
        listener.note(str(error).removesuffix(f" Build the index again with {command('index')}."))
        return None


def _build_new(request: IndexRequest, path: Path, listener: Listener) -> VectorIndex:
    store = request.features or Path(DEFAULT_STORE)
    if request.index is not None and request.features is None and not store.is_file():
        raise IndexFileError(
            f"There is no index {str(path)!r}. Name the store to build it from with "
            f"{option('features')}."
        )
    open_store(store).close()  # A missing store is reported before anything is announced.
    listener.note(f"building the index {str(path)!r} from {str(store)!r}")
    return build_index(store, layer=request.layer, output=path, listener=listener)


def _renew(
    request: IndexRequest, opened: VectorIndex, source: Path, listener: Listener
) -> VectorIndex:
    """Build an index again, in its kind and for its layer, from a store that has changed."""
    path, feature = opened.path, opened.description.feature
    asked = (opened.description.requested_kind, opened.description.options)
    require_pooling(opened)
    differences = _feature_differences(opened, source)
    if differences and request.names_both:
        _refuse_other_store(opened, source, [])
    with open_store(source) as changed:
        layers = changed.layers
        if request.layer is not None:
            changed.spec(request.layer)  # Raises an error that lists the layers there are.
    if feature.name not in layers:
        if request.index is not None:  # It is not turned into an index of another layer.
            _refuse_other_store(opened, source, [])
        listener.note(f"{str(source)!r} no longer has {feature.name!r}: building a new index")
        return build_index(source, output=path, kind=asked[0], options=asked[1], listener=listener)
    if differences:
        listener.note(f"{str(source)!r} was made in another way since: building a new index")
    else:
        listener.note(f"{str(source)!r} has changed: bringing {str(path)!r} up to date")
    return build_index(
        source,
        layer=feature.name,
        pool=DEFAULT_READ_POOLING if feature.pool == "none" else feature.pool,
        output=path,
        kind=asked[0],
        options=asked[1],
        previous=None if differences else opened,
        listener=listener,
    )


def _refuse_other_store(
    opened: VectorIndex, source: Path, differences: list[tuple[str, object, object]]
) -> NoReturn:
    raise FingerprintMismatch(
        f"The index {str(opened.path)!r} does not belong to {str(source)!r}.",
        [*differences, *_feature_differences(opened, source)],
        remedy=f"Build one from this store: {command('index', 'FEATURES', output='OTHER.faiss')}.",
    )


def _feature_differences(opened: VectorIndex, source: Path) -> list[tuple[str, object, object]]:
    """Compare the feature in an index with the one of that name in a store."""
    description = opened.description
    feature = description.feature
    expected = description.model.identity() | feature.identity()
    with open_store(source) as store:
        received = store.model.identity() | feature.identity()
        if feature.name in store.layers:
            # A layer that was stored as maps is pooled when it is read, in any way.
            received |= store.vector_spec(feature.name, feature.pool).identity()
        else:
            received |= {"layer": ", ".join(store.layers)}
    return identity_differences(expected, received)
