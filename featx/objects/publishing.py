"""Writing a store into an object store: each file that is finished on the disk becomes an object.

The protocol is that of a store on a disk (see the page "The feature store"): parts first, the store
last, then what is no longer needed is deleted. An upload stands for the rename. It succeeds only if
the object is the one that this process knows, so that of two writers at most one goes on:

- A part has a number above all that are there, and must not exist. So whoever writes part N has
  seen all parts below N.
- The store is replaced only if it is the version that the work began with, and what is deleted is
  deleted only as the version that this process knows.
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
from featx.objects.client import HEAD_BYTES, ObjectChanged, open_client
from featx.objects.copied_files import explained_copy, make_copy_folder
from featx.objects.copies import clear_copy, is_of, read_head, refresh_copy
from featx.objects.copies_limit import limit_copies
from featx.wording import option

SINGLE_FILE_LIMIT = 64 << 20
"""Largest store that is one object. Above it, adding an image does not send everything again."""

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
        publisher = _Publisher(address, store)
    try:
        with published(store, publisher), published(publisher.parts, publisher):
            yield
    finally:
        clear_copy(store)


def _begins_store(file: Path) -> bool:
    head = read_head(file)
    return (file.read_bytes() if head is None else head).startswith(b"featx-store\n")


class _Publisher:
    """Sends files of one copy; see `featx.atomic.Publisher`."""

    def __init__(self, address: Address, store: Path) -> None:
        self.parts = store.with_name(f"{store.name}.parts")
        self._address = address
        self._store = store
        self._client = open_client(address)
        self._remove_unfinished()
        found = refresh_copy(address, "write")
        self._versions = {name: facts.version for name, facts in found.items()}
        if store.name in found and not _begins_store(store):
            raise StoreError(
                f"{address.url!r} exists and is not a feature store; it is left alone. "
                f"Choose another name with {option('output')}, or delete it yourself."
            )

    def _remove_unfinished(self) -> None:
        """Delete what killed writers have uploaded of objects that never came to be."""
        with contextlib.suppress(StoreError):  # Who may write need not be allowed to list these.
            for each in self._client.find_unfinished(self._address.path):
                is_old = time.time() - each.began > ABANDONED_SECONDS
                if is_old and is_of(self._address, each.path):
                    self._client.remove_unfinished(each)

    def put(self, source: Path, path: Path) -> None:
        """Make a file an object, unless another process has changed what is there."""
        name, where = self._name(path), self._path(path)
        try:
            self._versions[name] = self._client.upload(source, where, self._versions.get(name))
        except ObjectChanged as changed:
            version = self._recognize(source, where)
            if version is None:
                raise self._refuse(where) from changed
            self._versions[name] = version
        if path.name.startswith("part-"):
            # A store that was replaced may not know of this part.
            now = self._client.read_version(self._address.path)
            if now != self._versions.get(self._store.name):
                raise self._refuse(self._address.path)
            limit_copies(path, source.stat().st_size)

    def remove(self, path: Path) -> None:
        """Delete an object that this process knows, unless another process has replaced it."""
        version = self._versions.pop(self._name(path), None)
        if version is not None:
            self._client.delete(self._path(path), version)

    def _recognize(self, source: Path, where: str) -> str | None:
        """Return the version of what is there if it is this very file: the answer was lost."""
        version = self._client.read_version(where)
        if version is None:
            return None
        # A seal tells what follows it; markers have none.
        is_sealed = source.stat().st_size >= HEAD_BYTES and not where.endswith(".json")
        num_bytes = HEAD_BYTES if is_sealed else source.stat().st_size + 1
        with source.open("rb") as file:
            same = file.read(num_bytes) == self._client.read_head(where, num_bytes)
        return version if same else None

    def _refuse(self, where: str) -> StoreError:
        url = Address(self._address.scheme, where).url
        return StoreError(
            f"Another process is writing to {self._address.url!r}: {url!r} is not as this one left "
            "it. What both committed is kept; when the other has ended, the same goes on."
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self._store.parent).as_posix()

    def _path(self, path: Path) -> str:
        return f"{self._address.path.rpartition('/')[0]}/{self._name(path)}"
