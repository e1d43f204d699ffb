"""What people decide about pictures, and their tags: a file beside the store, only added to.

Each line is a JSON object, the first one names the format. A line holds changes that were made
together::

    {"format": "featx-notes", "version": 1}
    {"time": "2026-05-04T12:30:00Z", "changes": [{"key": "a.jpg", "action": "tag", "value": "x"}]}

A line is on the disk before the client is told. What a killed process leaves of its last line is no
line, and the next one takes its place. Several processes may add to one file.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from featx.atomic import sync_path
from featx.errors import FeatxError
from featx.serving.noted import ACTIONS, DECISIONS, ImageNotes, Note, StoreNotes

try:
    from fcntl import LOCK_EX, flock
except ImportError:  # Windows
    flock = None  # type: ignore[assignment]

FORMAT, VERSION = "featx-notes", 1
SUFFIX = ".notes.jsonl"
_FIRST_LINE = json.dumps({"format": FORMAT, "version": VERSION}).encode("ascii") + b"\n"


class NotesError(FeatxError, OSError):
    """Notes could not be read or written."""


class NoteBook:
    """The notes about the images of a store.

    Args:
        path: The file; it need not exist.

    Raises:
        NotesError: If it exists and is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._images: dict[str, ImageNotes] = {}
        self._end = 0
        self._latest: StoreNotes | None = None
        self.read()

    @classmethod
    def beside(cls, store: Path) -> NoteBook:
        """Return the notes of a store."""
        return cls(notes_path(store))

    def read(self) -> StoreNotes:
        """Return what is noted, also by other processes."""
        with self._lock:
            try:
                self._refresh()
            except NotesError:
                raise
            except OSError as error:
                raise NotesError(f"The notes cannot be read: {error.strerror}.") from error
            if self._latest is None:
                found = {key: one for key, one in self._images.items() if one.tags or one.decisions}
                self._latest = StoreNotes(self._end, found)
            return self._latest

    def _refresh(self) -> None:
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            self._images, self._end, self._latest = {}, 0, None
            return
        if not stat.S_ISREG(status.st_mode):
            raise self._refuse()
        if status.st_size != self._end:
            with self.path.open("rb") as file:
                self._read(file)

    def add(self, notes: Sequence[Note]) -> int:
        """Write notes to the disk, all or none of them, and return the new revision.

        Raises:
            NotesError: If they cannot be written; nothing has changed then.
        """
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = {"time": time, "changes": [note.to_dict() for note in notes]}
        line = json.dumps(said).encode("ascii") + b"\n"
        with self._lock:
            try:
                self._append(line)
            except NotesError:
                raise
            except OSError as error:
                raise NotesError(f"The notes cannot be written: {error.strerror}.") from error
            return self._end

    def _append(self, line: bytes) -> None:
        is_new = not os.path.lexists(self.path)
        if not is_new and not stat.S_ISREG(os.lstat(self.path).st_mode):
            raise self._refuse()  # A link could lead to any file, a pipe anywhere.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self.path, flags, 0o666), "r+b") as file, _locked(file):
            self._read(file)
            file.truncate(self._end)  # What a killed process left of its last line.
            file.seek(self._end)
            if self._end == 0:
                line = _FIRST_LINE + line
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(self._end)
                raise
            self._read(file)
        if is_new:
            sync_path(self.path.parent)

    def _read(self, file: BinaryIO) -> None:
        """Take in the lines behind those that are known; all of them if it is another file."""
        file.seek(0, os.SEEK_END)
        if file.tell() < self._end:
            self._images, self._end, self._latest = {}, 0, None
        file.seek(self._end)
        for line in file.read().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                if self._end == 0 and not _FIRST_LINE.startswith(line):
                    raise self._refuse()
                break
            self._take(line)
            self._end += len(line)
            self._latest = None

    def _take(self, line: bytes) -> None:
        try:
            data = json.loads(line)
            if self._end == 0:
                if (data.get("format"), data.get("version")) != (FORMAT, VERSION):
                    raise ValueError("another format")
                return
            time = str(data["time"])
            notes = [_read_note(one, time) for one in data["changes"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._refuse() from error
        for note in notes:
            self._apply(note)

    def _refuse(self) -> NotesError:
        return NotesError(
            f"{self.path.name!r} does not hold notes of featx, or is damaged: move it away."
        )

    def _apply(self, note: Note) -> None:
        # Readers of other threads have the object that was: it is replaced, never changed.
        known = self._images.get(note.key) or ImageNotes()
        content, copies = (note.hash, note.copies) if note.hash else (known.content, known.copies)
        tags, decisions = dict(known.tags), dict(known.decisions)
        if note.action == "tag" and note.value:
            tags[note.value] = None
        elif note.action == "untag" and note.value:
            tags.pop(note.value, None)
        else:
            decisions.pop(note.finding, None)  # The latest one comes last.
            if note.action in DECISIONS:
                decisions[note.finding] = note
        self._images[note.key] = ImageNotes(tags, decisions, content, copies)


def _read_note(data: dict[str, Any], time: str) -> Note:
    names = ("value", "finding", "hash")
    copies = data.get("copies", [])
    if any(not isinstance(data.get(name, ""), str) for name in (*names, "time")):
        raise ValueError("a value is no text")
    if not isinstance(copies, list) or any(not isinstance(one, str) for one in copies):
        raise ValueError("copies are no keys")
    if data["action"] not in ACTIONS or not isinstance(data["key"], str):
        raise ValueError("an action is not known")
    json.dumps(data, ensure_ascii=False).encode()  # Half a character is no text: a ValueError.
    value, finding, content = (data.get(name) for name in names)
    time = data.get("time", time)  # A decision that was taken over is older than its line.
    return Note(data["key"], data["action"], value, finding, content, time, tuple(copies))


@contextlib.contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Hold the lock of a file, which ends with the process that has it."""
    if callable(flock):
        with contextlib.suppress(OSError):  # Some network file systems have none.
            flock(file, LOCK_EX)
    yield


def notes_path(store: Path) -> Path:
    """Return where the notes about a store's images are."""
    return store.with_name(f"{store.stem}{SUFFIX}")
