"""Renamed images: new keys with the content of keys whose image is gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from featx.extraction.plan import Plan


def find_renamed(plan: Plan, expected: Mapping[str, bytes] | None = None) -> frozenset[str]:
    """Return the vanished keys whose image now has a new name, one for each new image.

    Args:
        plan: The plan; after a run with the parts that it wrote.
        expected: Before a run, the images that are to be read and are identical to others, with
            their content hash; None after it, when the parts say so.
    """
    if not plan.changes.vanished:
        return frozenset()
    gone: defaultdict[bytes | None, list[str]] = defaultdict(list)
    for key in plan.changes.vanished:
        gone[plan.stored.content_hash(key)].append(key)
    copies = _find_new_copies(plan, expected)
    return frozenset(gone[content].pop(0) for content in copies.values() if gone.get(content))


def _find_new_copies(plan: Plan, expected: Mapping[str, bytes] | None) -> dict[str, bytes]:
    """Return the keys that the store has not had, and whose newest content is another image's."""
    existing = plan.existing
    known = set(plan.changes.vanished)
    if existing.base is not None:
        known.update(existing.base.keys)
    candidates = {key for part in existing.parts for key in part.copies.keys}
    candidates.update(expected or ())
    newest = _Newest(candidates - known)
    for part in existing.parts:
        for key, content in zip(part.keys, part.content_hash, strict=True):
            newest.compute(key, content.tobytes())
        for key, content in zip(part.copies.keys, part.copies.content_hash, strict=True):
            newest.copy(key, content.tobytes())
        for failure in part.failures:
            newest.fail(failure.key)
    if expected is not None:
        for item in plan.changes.todo:
            if item.key in expected:
                newest.copy(item.key, expected[item.key])
            else:
                newest.copies.pop(item.key, None)
    return newest.copies


class _Newest:
    """The newest content of some keys.

    Args:
        keys: The keys that matter; others are ignored.

    Attributes:
        copies: Key → content hash, of those whose newest content came as a copy.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self.copies: dict[str, bytes] = {}
        self._keys = keys
        self._content: dict[str, bytes] = {}

    def compute(self, key: str, content: bytes) -> None:
        """Features of a key were computed."""
        if key in self._keys:
            self._content[key] = content
            self.copies.pop(key, None)

    def copy(self, key: str, content: bytes) -> None:
        """A key has the content of another image; unless its own was the same: it was touched."""
        if key in self._keys and self._content.get(key) != content:
            self._content[key] = self.copies[key] = content

    def fail(self, key: str) -> None:
        """A key cannot be used any more."""
        self._content.pop(key, None)
        self.copies.pop(key, None)
