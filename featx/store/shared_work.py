"""Work for one store that several processes share, on one machine or on many.

The writer of a store, who holds its lock, opens a folder for work in the parts folder. Each task is
done in a folder of its own, which is given the task's name when all of it is on the disk. A name is
given once: a task that is done twice counts once, and what came second is thrown away. The writer
gives the parts of finished tasks their numbers.

A writer that was killed leaves its folder. The next one renames it first, so that whoever still
works for the killed one finds no place to put anything, and then takes in what was finished.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from featx.atomic import make_folder, replace_file, sync_path
from featx.errors import StoreError
from featx.store.parts import (
    CLOSED_WORK_PREFIX,
    WORK_PREFIX,
    explained,
    list_parts,
    list_work,
    next_part_number,
    parts_folder,
)
from featx.store.reader import FeatureStore, open_store

UNFINISHED = ".tmp"
"""How the name of a task's folder ends while the task is being done."""

RECORD_NAME = "record.json"
"""File in a finished task's folder. It stays when the parts are taken: the name remains given."""

_RANDOM_DIGITS = 16


class Workplace(Protocol):
    """Where workers do tasks; it is sent to them."""

    def check(self) -> None:
        """Refuse to work on a machine that does not reach it.

        Raises:
            StoreError: Says what is missing.
        """

    def do_once(self, task: str, make: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do a task, unless it was done; see the function `do_once`."""
        ...


class Work(Protocol):
    """The writer's side of what workers do: it takes what is finished."""

    @property
    def place(self) -> Workplace:
        """Where they do it."""
        ...

    def take_in(self, task: str) -> None:
        """Take the parts of a finished task."""

    def close(self) -> None:
        """Let nobody work here any more; take what is finished and was not taken yet."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder that all machines have under the same path; see `Workplace`.

    Attributes:
        path: The folder for work, in the parts folder.
    """

    path: Path

    def check(self) -> None:
        """See `Workplace`."""
        if not self.path.is_dir():
            raise StoreError(
                f"{str(self.path.parent)!r} is not there on {socket.gethostname()}. The store must "
                "be in a folder that all machines of the cluster have, under the same path, or in "
                "an object store."
            )

    def do_once(self, task: str, make: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
        """See `Workplace`."""
        return do_once(self.path, task, make)


class SharedWork:
    """The writer's side: a new folder for work, from which it takes what is finished.

    Args:
        folder: The parts folder, whose lock the caller holds.
        first_number: The least number of a part; higher if there are parts already.

    Attributes:
        path: The folder for work.
    """

    def __init__(self, folder: Path, first_number: int) -> None:
        self.path = folder.absolute() / f"{WORK_PREFIX}{uuid.uuid4().hex[:_RANDOM_DIGITS]}"
        with explained(self.path):
            make_folder(self.path)
        self._parts = _Numbering(folder, first_number)

    @property
    def place(self) -> SharedFolder:
        """See `Work`."""
        return SharedFolder(self.path)

    def take_in(self, task: str) -> None:
        """Take the parts of a finished task."""
        self._parts.take_in(self.path / task)

    def close(self) -> None:
        """Let nobody work here any more; take what is finished and was not taken yet."""
        _take_in_all(self.path, self._parts)


def has_unfinished(store: FeatureStore) -> bool:
    """Whether an extraction into a store goes on, or was interrupted."""
    folder = parts_folder(store.path)
    return bool(list_parts(folder, store.next_part) or list_work(folder))


def take_in_abandoned(output: Path) -> None:
    """Take what was finished for a writer that was killed; the caller holds the store's lock.

    Args:
        output: The store.
    """
    folder = parts_folder(output)
    abandoned = list_work(folder)
    if not abandoned:
        return
    first = 0
    if output.exists():
        with contextlib.suppress(StoreError), open_store(output) as store:
            first = store.next_part
    parts = _Numbering(folder, first)
    for work in abandoned:
        _take_in_all(work, parts)


def do_once(work: Path, task: str, make: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Do a task, unless it was done; return its record, that of whoever was first.

    Args:
        work: The folder for work.
        task: The task's name, which says what it is made of.
        make: Writes parts into a folder, and returns a record that JSON can hold.

    Raises:
        StoreError: If the folder is not there, or cannot be written.
    """
    finished = work / task
    if (finished / RECORD_NAME).exists():
        return _read_record(finished)
    own = work / f"{task}.{uuid.uuid4().hex[:_RANDOM_DIGITS]}{UNFINISHED}"
    with explained(own):
        own.mkdir()
    try:
        record = make(own)
        with explained(finished), replace_file(own / RECORD_NAME) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")
        if not _give_name(own, finished):
            return _read_record(finished)
        return record
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _give_name(own: Path, finished: Path) -> bool:
    """Rename a folder, unless the name is given: no folder takes the place of one with files."""
    try:
        os.rename(own, finished)
    except OSError as error:
        if (finished / RECORD_NAME).exists():
            return False
        with explained(finished):
            raise error
    sync_path(finished.parent)
    return True


def _read_record(finished: Path) -> Mapping[str, Any]:
    with explained(finished):
        record: Mapping[str, Any] = json.loads((finished / RECORD_NAME).read_text("utf-8"))
    return record


class _Numbering:
    """Gives parts their numbers in a parts folder."""

    def __init__(self, folder: Path, first_number: int) -> None:
        self._folder = folder
        self._next = next_part_number(folder, first_number)

    def take_in(self, finished: Path) -> None:
        """Move the parts of a finished task."""
        for part in list_parts(finished):
            target = self._folder / f"part-{self._next:06d}.h5"
            with explained(target):
                os.rename(part, target)
                sync_path(self._folder)
            self._next += 1


def _take_in_all(work: Path, parts: _Numbering) -> None:
    """Rename a folder for work, take what is finished in it, and delete it."""
    closed = work
    if not work.name.startswith(CLOSED_WORK_PREFIX):
        closed = work.with_name(work.name.replace(WORK_PREFIX, CLOSED_WORK_PREFIX, 1))
        with explained(closed):
            os.rename(work, closed)
    for name in sorted(os.listdir(closed)):
        if not name.endswith(UNFINISHED):
            parts.take_in(closed / name)
    shutil.rmtree(closed, ignore_errors=True)
