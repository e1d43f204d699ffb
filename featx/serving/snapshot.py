"""One version of the files that are served: every answer is made of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import FeatxError, HeadError, InvalidValue, StoreError
from featx.events import Listener
from featx.files import resolve_link
from featx.heads.head import DESCRIPTION_FILE, Head, load_head
from featx.heads.vector_batches import check_feature
from featx.images.sources.locations import LocationReader
from featx.index.own_store import open_own_store
from featx.index.ready import IndexRequest, ready_index
from featx.index.vector_index import VectorIndex
from featx.objects.addresses import is_address, write_address
from featx.report.page.thumbnails import Thumbnails
from featx.serving.row_columns import RowColumns
from featx.specs import DEFAULT_HEAD, FeatureSpec, ModelSpec, digest
from featx.store import FeatureStore, open_store
from featx.wording import command

VERSION_LENGTH = 16
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Files:
    """What is served, as it was named.

    Attributes:
        index: Store, index and layer.
        head: The head's folder; None for ``head`` if there is one.
        model: Where the model is now, if it has moved.
    """

    index: IndexRequest
    head: Path | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        store = str(self.index.features)
        if is_address(store):
            raise InvalidValue(
                f"{command('serve')} takes a store on this machine, where decisions are kept "
                f"beside it. Received: {write_address(store)!r}. Copy it with "
                f"{command('pack', write_address(store), output='features.h5')}."
            )

    @property
    def head_folder(self) -> Path:
        """Where the head is, if there is one."""
        return Path(DEFAULT_HEAD) if self.head is None else self.head


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """What is computed in one pass of a network.

    Attributes:
        model: The model.
        features: All that is wanted of it, for searches and predictions alike.
    """

    model: ModelSpec
    features: tuple[FeatureSpec, ...]


class Snapshot:
    """The store, the index and the head as they were at one moment, open for reading.

    Args:
        store: The store.
        index: Its index; rows are in the same order.
        head: A head, or None.
        stamp: Changes when any of the files does.

    Attributes:
        version: The stamp, as answers name it.
        columns: What is known of the store's rows, for filters and lists.
        reader: Reads pictures below the place that the store names.
        thumbnails: Small copies of them. Both know archives as they are in this version.
    """

    def __init__(
        self, store: FeatureStore, index: VectorIndex, head: Head | None, stamp: str
    ) -> None:
        self.store, self.index, self.head, self.stamp = store, index, head, stamp
        self.version = stamp[:VERSION_LENGTH]
        self.columns = RowColumns.read(store)
        self.reader = LocationReader()
        self.thumbnails = Thumbnails(self.reader)
        _ = store.content_hash, store.row_map

    def prepare(self) -> None:
        """Read and make now what the first requests would wait for."""
        self.columns.prepare()
        self.index.search_key(self.columns.keys[0], 1)

    def __len__(self) -> int:
        return len(self.columns.keys)

    @property
    def search_plan(self) -> NetworkPlan:
        """What is computed of a picture that is searched for."""
        return self._plans[0]

    @property
    def head_plan(self) -> NetworkPlan | None:
        """What is computed of a picture that is predicted; the same if the model is the same."""
        return self._plans[1]

    @cached_property
    def _plans(self) -> tuple[NetworkPlan, NetworkPlan | None]:
        description, head = self.index.description, self.head
        features = {description.feature.name: description.feature}
        if head is None:
            return NetworkPlan(description.model, tuple(features.values())), None
        is_same = description.model.identity() == head.model.identity()
        known = features.get(head.feature.name)
        if is_same and (known is None or known.identity() == head.feature.identity()):
            features[head.feature.name] = head.feature
            plan = NetworkPlan(description.model, tuple(features.values()))
            return plan, plan
        own = NetworkPlan(head.model, (head.feature,))
        return NetworkPlan(description.model, (description.feature,)), own

    def close(self) -> None:
        """Close what is open."""
        self.thumbnails.close()
        self.store.close()

    def is_current(self) -> bool:
        """Whether the store at the path is still the one that is open here."""
        try:
            with open_store(self.store.path) as now:
                return now.contents == self.store.contents
        except StoreError:
            return False

    def content_of(self, row: int) -> str:
        """Return the hash of an image's bytes in hexadecimal digits."""
        return str(self.store.content_hash[row].tobytes().hex())

    def rows_of_content(self, content: str, most: int | None = None) -> list[int]:
        """Return the rows of images with some bytes, by their hash in hexadecimal digits.

        Args:
            content: The hash.
            most: So many of them at most; all when None.
        """
        try:
            wanted = bytes.fromhex(content)
            number = np.frombuffer(wanted[:8], "<u8")[0]
        except (ValueError, IndexError):  # Somebody has written it.
            return []
        order, begins = self._contents
        first, end = (np.searchsorted(begins, number, side) for side in ("left", "right"))
        near = order[first:end][:most].tolist()
        return [row for row in near if self.store.content_hash[row].tobytes() == wanted]

    @cached_property
    def _contents(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows in the order of the first half of their hashes, and these as numbers."""
        begins = np.ascontiguousarray(self.store.content_hash[:, :8]).view("<u8")[:, 0]
        order = np.argsort(begins, kind="stable")
        return order, begins[order]

    @cached_property
    def has_maps(self) -> bool:
        """Whether the store has the maps in which regions of matches are found."""
        from featx.index.locating import find_maps

        return find_maps(self.store, self.index.description.feature) is not None

    @cached_property
    def predicts_rows(self) -> bool:
        """Whether the store has the features that the head takes."""
        if self.head is None:
            return False
        try:
            check_feature(self.store, self.head)
        except FeatxError:
            return False
        return True


def take_snapshot(files: Files, listener: Listener) -> Snapshot:
    """Open what is served; the index is built or brought up to date where needed.

    Raises:
        FeatxError: If something is missing, damaged, or does not belong together.
    """
    index = ready_index(files.index, listener)
    for _ in range(_TRIES):
        stamp = stamp_files(files, index)
        index = ready_index(files.index, listener)
        store = _open_store(files, index)
        head = _load_head(files, listener)
        if stamp_files(files, index) == stamp:  # Nothing was replaced meanwhile.
            return Snapshot(store, index, head, stamp)
        store.close()
    raise StoreError("The files are being replaced again and again.")


def stamp_files(files: Files, index: VectorIndex) -> str:
    """Return a text that changes when the store, the index or the head is replaced."""
    store = files.index.features or index.description.store.find(index.path.absolute().parent)
    stamps: list[Any] = [_stamp(path) for path in (store, index.path) if path is not None]
    return digest([*stamps, _stamp(files.head_folder / DESCRIPTION_FILE)])


def _stamp(path: Path) -> list[int]:
    try:
        status = resolve_link(path).stat()
    except OSError:
        return []
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _open_store(files: Files, index: VectorIndex) -> FeatureStore:
    if files.index.features is None:
        return open_own_store(index, "Columns")
    store = open_store(files.index.features)
    if store.contents != index.description.store.contents:
        store.close()
        raise StoreError(f"{str(files.index.features)!r} has changed while it was opened.")
    return store


def _load_head(files: Files, listener: Listener) -> Head | None:
    """Return the head; None if nobody named one and there is none that can be used."""
    if files.head is not None:
        return load_head(files.head)
    if not (files.head_folder / DESCRIPTION_FILE).is_file():
        return None
    try:
        return load_head(files.head_folder)
    except (HeadError, LookupError) as error:
        listener.note(f"serving without the head {str(files.head_folder)!r}: {error}")
        return None
