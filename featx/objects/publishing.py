"""Writing a store into an object store: each file that is finished on the disk becomes an object.

The protocol is that of a store on a disk (see the page "The feature store"): parts first, the store
last, then what is no longer needed is deleted. An upload stands for the rename. It succeeds only if
the object is the one that this process knows, so that of two writers at most one goes on:

- A part has a number above all that are there, and must not exist. So whoever writes part N has
  seen all parts below N.
- The store is replaced only if it is the version that the work began with, and what is deleted is
  deleted only as the version that this process knows.

Workers of a cluster put parts where they stay and note their work in objects beside them (see
`featx.store.shared_objects`). The next writer deletes these notes first, which ends that work.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from featx.atomic import published
from featx.errors import StoreError
from featx.files import resolve_link
from featx.objects.addresses import Address, is_address, is_copy
from featx.objects.client import (
    HEAD_BYTES,
    ObjectChanged,
    ObjectClient,
    ObjectFacts,
    open_client,
)
from featx.objects.copied_files import explained_copy, make_absent, make_copy_folder
from featx.objects.copies import (
    clear_copy,
    is_of,
    is_work,
    list_objects,
    read_head,
    refresh_copy,
)
from featx.objects.copies_limit import limit_copies
from featx.wording import option

SINGLE_FILE_LIMIT = 64 << 20
"""Largest store that is one object. Above it, adding an image does not send everything again."""

BEGUN_NAME = "begun.json"
"""Object of the work of a cluster that is there as long as workers may do something for it."""

ABANDONED_SECONDS = 24 * 3600
"""Age from which on an upload is taken for one that nobody goes on with."""


def writing_path(output: str | Path) -> Path:
    """Return the file that is written for a store: that of a path, or the copy of an address.

    Raises:
        InvalidValue: If it is an address that no store can have, or no package can open it.
    """
    if not is_address(str(output)):
        return resolve_link(Path(output))
    address = Address.parse(str(output))
    open_client(address)
    store = address.copy("write")
    with explained_copy(address):
        make_copy_folder(store.parent)
    return store


@contextlib.contextmanager
def publishing(store: Path) -> Iterator[None]:
    """Bring the copy of a store up to date, and publish what is written to it until the end.

    Paths of this machine are left alone. The caller holds the store's lock.

    Raises:
        StoreError: If the object store cannot be reached, or holds something else.
    """
    address = Address.of_copy(store)
    if address is None or not is_copy(store, "write"):
        yield
        return
    with explained_copy(address):
        clear_copy(store)
        publisher = StorePublisher(address, store)
    try:
        with published(store, publisher), published(publisher.parts, publisher):
            yield
    finally:
        clear_copy(store)


def _begins_store(file: Path) -> bool:
    head = read_head(file)
    return (file.read_bytes() if head is None else head).startswith(b"featx-store\n")


class StorePublisher:
    """Sends files of one copy; see `featx.atomic.Publisher`.

    Attributes:
        address: The store.
        parts: The copy's folder of parts.
    """

    def __init__(self, address: Address, store: Path) -> None:
        self.address = address
        self.parts = store.with_name(f"{store.name}.parts")
        self._store = store
        self._client = open_client(address)
        self._remove_unfinished()
        found = refresh_copy(address, "write", self._end_work())
        self._versions = {name: facts.version for name, facts in found.items()}
        if store.name in found and not _begins_store(store):
            raise StoreError(
                f"{address.url!r} exists and is not a feature store; it is left alone. "
                f"Choose another name with {option('output')}, or delete it yourself."
            )

    def _end_work(self) -> dict[str, ObjectFacts]:
        """End what workers do for a writer that was killed; return what is there then."""
        objects = list_objects(self.address)
        notes = [path for path in objects if is_work(self.address, path)]
        if not notes:
            return objects
        # First what says that the work goes on: after it, no part counts that is not listed here.
        for path in sorted(notes, key=lambda path: not path.endswith(f"/{BEGUN_NAME}")):
            self._client.delete(path, objects[path].version)
        return list_objects(self.address)

    def _remove_unfinished(self) -> None:
        """Delete what killed writers have uploaded of objects that never came to be."""
        with contextlib.suppress(StoreError):  # Who may write need not be allowed to list these.
            for each in self._client.find_unfinished(self.address.path):
                is_old = time.time() - each.began > ABANDONED_SECONDS
                if is_old and is_of(self.address, each.path):
                    self._client.remove_unfinished(each)

    def put(self, source: Path, path: Path) -> None:
        """Make a file an object, unless another process has changed what is there."""
        name, where = self._name(path), self._path(path)
        try:
            self._versions[name] = self._client.upload(source, where, self._versions.get(name))
        except ObjectChanged as changed:
            version = _recognize(self._client, source, where)
            if version is None:
                raise self.refuse(where) from changed
            self._versions[name] = version
        if path.name.startswith("part-"):
            # A store that was replaced may not know of this part.
            now = self._client.read_version(self.address.path)
            if now != self._versions.get(self._store.name):
                raise self.refuse(self.address.path)
            limit_copies(path, source.stat().st_size)

    def remove(self, path: Path) -> None:
        """Delete an object that this process knows, unless another process has replaced it."""
        version = self._versions.pop(self._name(path), None)
        if version is not None:
            self._client.delete(self._path(path), version)

    def adopt(self, path: Path, facts: ObjectFacts, head: bytes) -> None:
        """List an object in the copy that a worker has sent, to be fetched when it is opened.

        Args:
            path: Its file in the copy.
            facts: The object.
            head: Its first bytes; empty if they are not known.
        """
        make_absent(path, facts.size, head)
        self._versions[self._name(path)] = facts.version

    def refuse(self, where: str) -> StoreError:
        """Return the error that an object is not as this process left it."""
        url = Address(self.address.scheme, where).url
        return StoreError(
            f"Another process is writing to {self.address.url!r}: {url!r} is not as this one left "
            "it. What both committed is kept; when the other has ended, the same goes on."
        )

    def knows(self, path: str) -> bool:
        """Whether an object was there when the work began, or was sent for this process since."""
        return path[len(self._folder) :] in self._versions

    def _name(self, path: Path) -> str:
        return path.relative_to(self._store.parent).as_posix()

    def _path(self, path: Path) -> str:
        return f"{self._folder}{self._name(path)}"

    @property
    def _folder(self) -> str:
        """The path of the store's folder, with the slash behind it."""
        return self.address.path[: -len(self._store.name)]


def upload_new(client: ObjectClient, source: Path, path: str) -> str | None:
    """Make a file an object that did not exist; return its version, None if another one is there.

    The same file is not another one: it may have been sent, and the answer been lost.
    """
    try:
        return client.upload(source, path, None)
    except ObjectChanged:
        return _recognize(client, source, path)


def _recognize(client: ObjectClient, source: Path, where: str) -> str | None:
    """Return the version of what is there if it is this very file: the answer was lost."""
    version = client.read_version(where)
    if version is None:
        return None
    # A seal tells what follows it; markers have none.
    is_sealed = source.stat().st_size >= HEAD_BYTES and not where.endswith(".json")
    num_bytes = HEAD_BYTES if is_sealed else source.stat().st_size + 1
    with source.open("rb") as file:
        same = file.read(num_bytes) == client.read_head(where, num_bytes)
    return version if same else None
