"""Whose notes are whose: pictures that were renamed or moved keep those of their content.

A picture has the notes of its own key. Where these name other bytes than it has, or where there are
none, it takes over those of a key that is no longer that of the bytes that it names: the picture
there has gone, or is another one, as after pictures were numbered anew. One picture takes over from
each such key, never one that was a copy beside it when it was decided on: what is said of a copy is
not said of the other. Where nobody takes notes over, they stay with their key.

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

MOST_PARTS = 6
"""File name and folders of a key by which moved copies are told apart."""


class PlacedNotes:
    """Says which notes are those of the pictures of a version, and adds to them.

    Args:
        book: The file.
    """

    def __init__(self, book: NoteBook) -> None:
        self._book, self._lock = book, threading.Lock()
        self._version = ""
        self._latest: StoreNotes | None = None
        self._contents: dict[str, str | None] = {}

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
            self._version, self._latest, self._contents = snapshot.version, None, {}
        if self._latest is None or self._latest.revision != noted.revision:
            self._latest = replace(noted, heirs=self._find_heirs(snapshot, noted.images))
        return self._latest

    def _find_heirs(
        self, snapshot: Snapshot, images: Mapping[str, ImageNotes]
    ) -> dict[str, str | None]:
        away: dict[str, list[str]] = {}
        free: set[str] = set()
        for key, notes in images.items():
            if notes.content and not self._has_content(snapshot, key, notes.content):
                free.add(key)
                if len(notes.copies) < MOST_COPIES:
                    away.setdefault(notes.content, []).append(key)
        while True:
            heirs: dict[str, str] = {}
            for content, old in away.items():
                keys = (snapshot.columns.keys[row] for row in snapshot.rows_of_content(content))
                new = [key for key in keys if key not in images or key in free]
                heirs |= _pair(old, new, images)
            moved = set(heirs.values())
            staying = free & heirs.keys() - moved
            if not staying:
                return {**dict.fromkeys(moved), **heirs}
            free -= staying  # They would lose their own, which nobody takes over.

    def _has_content(self, snapshot: Snapshot, key: str, content: str) -> bool:
        """Whether the picture of a key is the one that was noted."""
        if key not in self._contents:
            row = snapshot.columns.find(key)
            self._contents[key] = None if row is None else snapshot.content_of(row)
        return self._contents[key] == content


def _pair(
    old: Sequence[str], new: Sequence[str], images: Mapping[str, ImageNotes]
) -> dict[str, str]:
    """Return which of some new keys takes over from which old one: those that end alike first."""
    heirs: dict[str, str] = {}
    free, left = dict.fromkeys(new), dict.fromkeys(old)
    for length in range(MOST_PARTS, -1, -1):
        ends: dict[str, list[str]] = {}
        for key in free:
            ends.setdefault(_end(key, length), []).append(key)
        for key in tuple(left):
            among, copies = ends.get(_end(key, length), ()), images[key].copies
            heir = next((one for one in among if one in free and one not in copies), None)
            if heir is not None:
                del free[heir], left[key]
                heirs[heir] = key
    return heirs


def _end(key: str, length: int) -> str:
    """Return the file name of a key and so many folders that it has as many parts."""
    return "/".join(key.split("/")[-length:]) if length else ""
