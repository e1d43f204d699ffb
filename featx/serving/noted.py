"""What people have noted about pictures: their tags, and what they decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
        heirs: Key of a picture → key under which was noted, where it has taken over from that.
    """

    revision: int
    images: Mapping[str, ImageNotes]
    heirs: Mapping[str, str] = field(default_factory=dict)

    def of(self, key: str) -> ImageNotes:
        """Return what was noted about a picture; empty if nothing was."""
        return self.images.get(self.heirs.get(key, key)) or ImageNotes()

    def all(self) -> list[tuple[str, ImageNotes]]:
        """Return all notes, by the keys that have them now."""
        names = {old: key for key, old in self.heirs.items()}
        return [(names.get(key, key), notes) for key, notes in self.images.items()]

    def tags(self) -> dict[str, int]:
        """Return how many images each tag has."""
        counts: dict[str, int] = {}
        for notes in self.images.values():
            for tag in notes.tags:
                counts[tag] = counts.get(tag, 0) + 1
        return dict(sorted(counts.items()))

    def take_over(self, keys: Iterable[str]) -> list[Note]:
        """Return the changes that put notes under the keys that have taken them over."""
        changes: list[Note] = []
        for key in dict.fromkeys(keys):
            old = self.heirs.get(key)
            if old is None:
                continue
            notes = self.images[old]
            for tag in notes.tags:
                changes.append(Note(key, "tag", tag, hash=notes.content))
                changes.append(Note(old, "untag", tag, hash=notes.content))
            for finding, decision in notes.decisions.items():
                changes.append(replace(decision, key=key))
                changes.append(Note(old, "clear", finding=finding, hash=notes.content))
        return changes
