"""What people have noted about pictures: their tags, and what they decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

DECISIONS = ("keep", "relabel", "reject")
ACTIONS = (*DECISIONS, "clear", "tag", "untag")
_OF_THE_IMAGE = ("key", "copies")


@dataclass(frozen=True, slots=True)
class Note:
    """A change, as it was made.

    Attributes:
        key: The image.
        action: One of `ACTIONS`.
        value: The label, or the tag.
        finding: The kind of finding that it answers; None if it is about the image as such.
        hash: BLAKE2b-128 of the image's bytes then, in hexadecimal digits.
        time: When, in UTC.
        copies: Keys of other images that had the same bytes then.
    """

    key: str
    action: str
    value: str | None = None
    finding: str | None = None
    hash: str | None = None
    time: str = ""
    copies: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what is not empty, as JSON-serialisable values."""
        names = ("key", "action", "value", "finding", "hash", "time")
        said = {name: getattr(self, name) for name in names if getattr(self, name)}
        return said | ({"copies": list(self.copies)} if self.copies else {})


@dataclass(slots=True)
class ImageNotes:
    """What was noted about an image.

    Attributes:
        tags: Its tags, in the order in which they were given.
        decisions: Kind of finding, or None → the decision.
        content: The hash of its bytes, when it was last noted.
        copies: Keys of other images that had the same bytes then.
    """

    tags: dict[str, None] = field(default_factory=dict)
    decisions: dict[str | None, Note] = field(default_factory=dict)
    content: str | None = None
    copies: tuple[str, ...] = ()

    @property
    def decision(self) -> Note | None:
        """The latest decision, whatever it answered."""
        return next(reversed(self.decisions.values()), None)

    def to_dict(self) -> dict[str, Any]:
        """Return tags and decisions as JSON-serialisable values."""
        decisions = []
        for note in self.decisions.values():
            known = note.to_dict()
            decisions.append({name: known[name] for name in known if name not in _OF_THE_IMAGE})
        return {"tags": list(self.tags), "decisions": decisions}


@dataclass(frozen=True, slots=True)
class StoreNotes:
    """All notes, as they were at one moment.

    Attributes:
        revision: Of the file; see `NoteBook.revision`.
        images: Key under which was noted → what.
        heirs: Key of a picture → key under which was noted, where it has taken over from that; None
            where what was noted under its own key is another picture's.
    """

    revision: int
    images: Mapping[str, ImageNotes]
    heirs: Mapping[str, str | None] = field(default_factory=dict)

    def of(self, key: str) -> ImageNotes:
        """Return what was noted about a picture; empty if nothing was."""
        noted = self.heirs.get(key, key)
        return (None if noted is None else self.images.get(noted)) or ImageNotes()

    def all(self) -> list[tuple[str, ImageNotes]]:
        """Return all notes, by the keys that have them now."""
        names = self._names()
        return [(names.get(key, key), notes) for key, notes in self.images.items()]

    def tags(self) -> dict[str, int]:
        """Return how many images each tag has."""
        counts: dict[str, int] = {}
        for notes in self.images.values():
            for tag in notes.tags:
                counts[tag] = counts.get(tag, 0) + 1
        return dict(sorted(counts.items()))

    def take_over(self, keys: Iterable[str]) -> list[Note]:
        """Return the changes that put notes under the keys that have taken them over.

        What is noted under such a key, but is another picture's, is put under that one's key first.
        """
        names = self._names()
        taking: dict[str, None] = {}
        for first in keys:
            key: str | None = first
            while key is not None and key in self.heirs and key not in taking:
                taking[key] = None
                key = names.get(key)
        old = dict.fromkeys([*taking, *filter(None, (self.heirs[key] for key in taking))])
        changes = [change for key in old if key in self.images for change in self._clear(key)]
        return changes + [change for key in taking for change in self._put(key)]

    def _names(self) -> dict[str, str]:
        """Return which key has taken over from which."""
        return {old: key for key, old in self.heirs.items() if old is not None}

    def _clear(self, key: str) -> Iterator[Note]:
        notes = self.images[key]
        for tag in notes.tags:
            yield Note(key, "untag", tag, hash=notes.content)
        for finding in notes.decisions:
            yield Note(key, "clear", finding=finding, hash=notes.content)

    def _put(self, key: str) -> Iterator[Note]:
        notes = self.of(key)
        for tag in notes.tags:
            yield Note(key, "tag", tag, hash=notes.content, copies=notes.copies)
        for decision in notes.decisions.values():
            yield replace(decision, key=key, hash=notes.content, copies=notes.copies)
