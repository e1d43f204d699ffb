"""Whose notes are whose: pictures that were renamed or moved keep those of their content.

A picture has the notes of its own key. Where that has none, it has those of a key that is no longer
in the store, if both name the same bytes. One picture takes over from each such key, never one that
was a copy beside it when it was decided on: what is said of a copy is not said of the other.

Nothing is written for that. When somebody decides on a picture that has taken notes over, they are
written under its own key in the same line.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from featx.serving.noted import ImageNotes, Note, StoreNotes
from featx.serving.notes import NoteBook
from featx.serving.snapshot import Snapshot

MOST_COPIES = 100
"""Copies that a note names. With more of them, nobody takes it over."""


class PlacedNotes:
    """Says which notes are those of the pictures of a version, and adds to them.

    Args:
        book: The file.
    """

    def __init__(self, book: NoteBook) -> None:
        self._book, self._lock = book, threading.Lock()
        self._version = ""
        self._latest: StoreNotes | None = None
        self._is_here: dict[str, bool] = {}

    def read(self, snapshot: Snapshot) -> StoreNotes:
        """Return the notes of a version, with what another process has added."""
        with self._lock:
            return self._read(snapshot)

    def add(self, snapshot: Snapshot, notes: Sequence[Note]) -> int:
        """Write notes to the disk, all or none of them, and return the new revision.

        Raises:
            NotesError: If they cannot be written; nothing has changed then.
        """
        with self._lock:
            taken = self._read(snapshot).take_over(note.key for note in notes)
            return self._book.add([*taken, *notes])

    def _read(self, snapshot: Snapshot) -> StoreNotes:
        noted = self._book.read()
        if snapshot.version != self._version:
            self._version, self._latest, self._is_here = snapshot.version, None, {}
        if self._latest is None or self._latest.revision != noted.revision:
            self._latest = replace(noted, heirs=self._find_heirs(snapshot, noted.images))
        return self._latest

    def _find_heirs(self, snapshot: Snapshot, images: Mapping[str, ImageNotes]) -> dict[str, str]:
        gone: dict[str, list[str]] = {}
        for key, notes in images.items():
            is_here = self._is_here.get(key)
            if is_here is None:
                is_here = self._is_here[key] = snapshot.columns.find(key) is not None
            if not is_here and notes.content and len(notes.copies) < MOST_COPIES:
                gone.setdefault(notes.content, []).append(key)
        heirs: dict[str, str] = {}
        for content, old in gone.items():
            rows = snapshot.rows_of_content(content)
            new = [key for row in rows if (key := snapshot.columns.keys[row]) not in images]
            heirs |= _pair(old, new, images)
        return heirs


def _pair(
    old: Sequence[str], new: Sequence[str], images: Mapping[str, ImageNotes]
) -> dict[str, str]:
    """Return which of some new keys takes over from which old one: the same file names first."""
    free = dict.fromkeys(new)
    by_name: dict[str, list[str]] = {}
    for key in new:
        by_name.setdefault(_file_name(key), []).append(key)
    heirs: dict[str, str] = {}
    taken: set[str] = set()
    for is_same_name in (True, False):
        for key in old:
            if key in taken:
                continue
            among = by_name.get(_file_name(key), []) if is_same_name else free
            copies = images[key].copies
            heir = next((one for one in among if one in free and one not in copies), None)
            if heir is not None:
                del free[heir]
                heirs[heir] = key
                taken.add(key)
    return heirs


def _file_name(key: str) -> str:
    return key.rpartition("/")[2]
