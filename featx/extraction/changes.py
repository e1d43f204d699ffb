"""Comparing a folder of images with what is stored: what is new, changed, renamed, gone."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from featx.errors import ImageError
from featx.images.limits import EMPTY, LIMIT_OPTION
from featx.images.reading import hash_content
from featx.images.sources import ImageFailure, ImageItem, ImageSet, beginnings, natural_key
from featx.images.sources.items import make_failure
from featx.store.reader import FeatureStore


class StoredImages:
    """What a store and the parts beside it hold of each image, the newest word of each key.

    Args:
        sources: Open stores, oldest first.

    Attributes:
        ledger: The failures, by key.
    """

    def __init__(self, sources: Sequence[FeatureStore]) -> None:
        self.ledger: dict[str, ImageFailure] = {}
        self._place: dict[str, int] = {}
        # Columns rather than an object for each image: a million of them fit into 300 MB.
        columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._labels: list[str | None] = []
        self._splits: list[str | None] = []
        count = 0
        with_copies = any(source.copies for source in sources)
        held: set[bytes] = set()
        for source in sources:
            for rows in (source, source.copies):
                columns.append((rows.content_hash, rows.file_size, rows.file_mtime_ns))
                self._labels.extend(rows.labels)
                self._splits.extend(rows.splits)
                for position, key in enumerate(rows.keys, start=count):
                    self._place[key] = position
                count += len(rows.keys)
                if self.ledger:
                    for key in rows.keys:
                        self.ledger.pop(key, None)
            if with_copies:
                held.update(map(bytes, source.content_hash))
                for key, content in zip(
                    source.copies.keys, map(bytes, source.copies.content_hash), strict=True
                ):
                    if content not in held:  # Its owner was lost: it has to be read again.
                        del self._place[key]
            for failure in source.failures:
                if not failure.is_passing:
                    self._place.pop(failure.key, None)
                self.ledger[failure.key] = failure
        hashes, sizes, mtimes = zip(*columns, strict=True) if columns else ((), (), ())
        self._hashes = np.concatenate(hashes) if hashes else np.empty((0, 0), np.uint8)
        self._sizes = np.concatenate(sizes) if sizes else np.empty(0, np.int64)
        self._mtimes = np.concatenate(mtimes) if mtimes else np.empty(0, np.int64)

    def __contains__(self, key: object) -> bool:
        return key in self._place

    @property
    def keys(self) -> Iterable[str]:
        """Keys that have features."""
        return self._place.keys()

    def is_unchanged(self, item: ImageItem) -> bool:
        """Whether an image has features, and its file the size and time that it had then.

        One whose time nobody knows may have changed.
        """
        return item.mtime_ns != -1 and self.is_recorded(item)

    def is_recorded(self, item: ImageItem) -> bool:
        """Whether an image's row says the same as the image: size, time, label, split."""
        place = self._place.get(item.key)
        return (
            place is not None
            and self._mtimes[place] == item.mtime_ns
            and self._sizes[place] == item.size
            and self._labels[place] == item.label
            and self._splits[place] == item.split
        )

    def content_hash(self, key: str) -> bytes | None:
        """Return the content hash under which a key has features; None if it has none."""
        place = self._place.get(key)
        return None if place is None else self._hashes[place].tobytes()

    def content_hashes(self) -> set[bytes]:
        """Return every content hash that has features."""
        return set(map(bytes, self._hashes[list(self._place.values())]))

    def file_sizes(self) -> set[int]:
        """Return the sizes of all files that have features."""
        return set(self._sizes[list(self._place.values())].tolist())


@dataclass(slots=True)
class FolderChanges:
    """What is to be done so that a store agrees with a folder.

    Attributes:
        new: Images to read that are not in the store.
        changed: Images to read whose size or time is not the stored one.
        unchanged: How many need not be read.
        failures: Failed earlier, and not to be tried again; or cannot even be listed.
        new_failures: Of these, what the ledger does not hold yet.
        vanished: Keys with features whose image is gone.
        vanished_failures: Keys in the ledger whose image is gone.
        unknown: Keys that cannot be looked at now (a folder that cannot be read): as they were.
        todo: What is to be read, new or changed, in natural order.
    """

    new: list[ImageItem] = field(default_factory=list)
    changed: list[ImageItem] = field(default_factory=list)
    unchanged: int = 0
    failures: dict[str, ImageFailure] = field(default_factory=dict)
    new_failures: list[ImageFailure] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    vanished_failures: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    todo: list[ImageItem] = field(default_factory=list)


def compare_folder(
    found: ImageSet,
    stored: StoredImages,
    *,
    retry_failed: bool = False,
    retry_limit: bool = False,
) -> FolderChanges:
    """Compare images as they are now with what is stored, by size and modification time.

    Args:
        found: The images as they are now.
        stored: What is stored.
        retry_failed: Also read again what failed and has not changed since.
        retry_limit: Also read again what had too many pixels: the limit may be another one.
    """
    changes = FolderChanges()
    for item in found.items:
        earlier = stored.ledger.get(item.key)
        if stored.is_unchanged(item):
            changes.unchanged += 1
        elif (
            earlier is not None
            and (earlier.size, earlier.mtime_ns) == (item.size, item.mtime_ns)
            and item.mtime_ns != -1
            and not retry_failed
            and not (retry_limit and LIMIT_OPTION in earlier.reason)
        ):
            changes.failures[item.key] = earlier
        else:
            (changes.changed if item.key in stored else changes.new).append(item)
            changes.todo.append(item)
    # A picture that cannot even be listed now (a link to a disk that is not there) keeps the
    # features it has.
    for failure in found.failures:
        changes.failures[failure.key] = failure
        if failure.key not in stored and failure.key not in stored.ledger:
            changes.new_failures.append(failure)

    # What lies in a folder that cannot be read now is not known to be gone; nor is a picture
    # that this command did not name.
    listed = {item.key for item in found.items} | set(changes.failures)
    unread = {"" if f.key == "." else f"{f.key}/" for f in found.failures}
    for key in stored.keys:
        if key in listed:
            continue
        if not unread.isdisjoint(beginnings(key)):
            changes.unknown.add(key)
        elif found.is_gone(key, listed):
            changes.vanished.append(key)
    unchanged = {item.key for item in found.items if item.key in stored.ledger}
    unchanged -= {item.key for item in changes.todo} | changes.failures.keys()
    changes.vanished_failures = [
        key
        for key in stored.ledger
        if key in unchanged  # It could not be read just then, and is as it was stored.
        or (
            key not in listed
            and unread.isdisjoint(beginnings(key))
            and not found.root.is_in_memory
            and (found.is_gone(key, listed) or os.path.isdir(found.root.location(key)))
        )
    ]
    return changes


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known of images that are to be read, without decoding them.

    Attributes:
        identical: Key → content hash of those with the content of a stored image or of one before.
        failures: Those that will fail.
    """

    identical: dict[str, bytes] = field(default_factory=dict)
    failures: list[ImageFailure] = field(default_factory=list)


def foresee(changes: FolderChanges, stored: StoredImages) -> Forecast:
    """Say what is known of the images to read: which are identical to others, which will fail.

    Only files are read whose size occurs twice: others cannot be identical.
    """
    forecast = Forecast()
    groups: dict[int, list[ImageItem]] = defaultdict(list)
    for item in changes.todo:
        if item.size == 0:
            forecast.failures.append(ImageFailure(item.key, EMPTY, 0, item.mtime_ns))
        elif item.reader is None and not os.access(item.path, os.R_OK):
            forecast.failures.append(make_failure(item.key, os.strerror(errno.EACCES)))
        else:
            groups[item.size].append(item)
    sizes = stored.file_sizes()
    seen = stored.content_hashes() if changes.todo else set()
    for size, items in groups.items():
        if size not in sizes and len(items) < 2:
            continue
        for item in items:
            try:
                content = hash_content(item.read_bytes())
            except ImageError as error:
                forecast.failures.append(
                    ImageFailure(item.key, error.reason, item.size, item.mtime_ns)
                )
                continue
            except OSError as error:
                forecast.failures.append(make_failure(item.key, error))
                continue
            if content in seen:
                forecast.identical[item.key] = content
            seen.add(content)
    forecast.failures.sort(key=lambda failure: natural_key(failure.key))
    return forecast


def find_renamed(
    new: Iterable[tuple[str, bytes]], vanished: Iterable[str], stored: StoredImages
) -> set[str]:
    """Return the vanished keys whose image now has a new name, one for each new image.

    Args:
        new: Key and content hash of images that are new and identical to another one.
        vanished: Keys with features whose image is gone.
        stored: What is stored.
    """
    gone: defaultdict[bytes | None, list[str]] = defaultdict(list)
    for key in vanished:
        gone[stored.content_hash(key)].append(key)
    return {gone[content].pop(0) for _, content in new if gone.get(content)}
