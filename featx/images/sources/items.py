"""What sources of images return: images with keys, labels and a way to read them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from featx.images.roots import Root
from featx.images.sources.columns import TableRow
from featx.images.sources.endings import UNREAD_SUFFIXES
from featx.images.sources.keys import (
    beginnings,
    ending_of,
    is_hidden,
    is_utf8,
    natural_key,
    printable_key,
)

MAX_MEMBER_BYTES = 1 << 30
"""Largest picture that is read from an archive or a URL, in bytes: featx must not allocate whatever
an archive or a server claims."""


class Reader(Protocol):
    """Reads the images of one source; shared by all of its items."""

    def read(self, item: ImageItem) -> bytes:
        """Return the bytes of one image.

        Raises:
            OSError: If they cannot be read now; the next run tries again.
            ImageError: If this image is damaged or not supported.
        """
        ...


@runtime_checkable
class Divisible(Protocol):
    """A reader that holds something of each of its images: not all of it has to be sent along."""

    def of_keys(self, keys: Collection[str]) -> Reader:
        """Return a reader of some images alone, which can be pickled."""
        ...


@runtime_checkable
class ReadsInOrder(Protocol):
    """A reader that is fast in one order only, such as that of a compressed archive.

    Attributes:
        prefix: Beginning of the keys of its items.
    """

    prefix: str

    def position(self, item: ImageItem) -> int:
        """Return the position of an item in that order."""
        ...


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image to read.

    There may be millions: all items share one `root` and one `reader`, those of a class one
    `label`.

    Attributes:
        key: Path relative to the root, with ``/``: the image's name in a store.
        root: What the key is relative to.
        label: The first folder below the root or below the split, or the label in a manifest, an
            array or a ``.cls`` file; None where there is none.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the file, or of the archive that holds it, in nanoseconds
            since the epoch; -1 if unknown: such images are read to see whether they changed.
        reader: Reads it; None for a file at root/key.
        split: The split in a manifest's column or the name of an array or a folder, such as
            ``train``; None where there is none.
        row: What else a table says of it; None where no table does.
    """

    key: str
    root: Root
    label: str | None
    size: int
    mtime_ns: int
    reader: Reader | None = field(default=None, compare=False, repr=False)
    split: str | None = None
    row: TableRow | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """The path of an image on disk; in an archive, as if the archive were a folder.

        Raises:
            ValueError: If it is at a URL or in memory.
        """
        return self.root.path / self.key

    @property
    def location(self) -> str:
        """Where the image is, as text: a path, a URL, or the key where there is neither."""
        return self.root.location(self.key)

    def read_bytes(self) -> bytes:
        """Return the image's bytes.

        Raises:
            OSError: If they cannot be read now.
            ImageError: If this image is damaged or not supported.
        """
        return self.path.read_bytes() if self.reader is None else self.reader.read(self)


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """One image that could not be used, and why; size and time as in `ImageItem`."""

    key: str
    reason: str
    size: int
    mtime_ns: int

    @property
    def is_passing(self) -> bool:
        """Whether the failure may pass: the file could not be read at that time.

        Such an image keeps its features, and is tried again by every run.
        """
        return self.mtime_ns < 0 and self.size < 0


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images found below one root, in the natural order of their keys.

    Images of a compressed archive are in its own order, the only one in which it can be read.

    Attributes:
        root: What keys are relative to.
        items: The images.
        failures: Files, folders and archives that could not even be listed.
        notes: Messages for a person about how the source was read.
        covered: Beginning of the keys of each archive (or other source that is not a folder) →
            whether it could be listed completely.
        left_out: Keys in covered sources of images that exist but were not asked for.
        stream: Further items, known only one after the other; consumed by reading.
        named: The locations as they were given, for messages.
        keys_are_numbers: Whether the stream's keys are numbers in the order in which it comes: in
            another order they mean other images.
    """

    root: Root
    items: tuple[ImageItem, ...]
    failures: tuple[ImageFailure, ...] = ()
    notes: tuple[str, ...] = ()
    covered: Mapping[str, bool] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    stream: Iterator[ImageItem] | None = None
    named: tuple[str, ...] = ()
    keys_are_numbers: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, in natural order."""
        return tuple(sorted({i.label for i in self.items if i.label is not None}, key=natural_key))

    def is_gone(self, key: str, listed: Container[str] = ()) -> bool:
        """Whether a key that is not among the items belongs to an image that no longer exists.

        False where that is unknown: in an archive that is damaged or was not named.

        Args:
            key: The key.
            listed: Keys of the items and failures; a frame exists if its file does.
        """
        file = _FRAME.sub("", key)
        if key in self.left_out or (file != key and (file in listed or file in self.left_out)):
            return False
        for prefix in beginnings(key):
            if prefix in self.covered:
                return self.covered[prefix]
        if not self.root.is_on_disk:
            return False
        if any(os.path.lexists(self.root.location(name)) for name in {key, file}):
            return False
        folders = [folder for folder in PurePosixPath(key).parents if folder.parts]
        return not any(os.path.isfile(self.root.path / folder) for folder in folders)


_FRAME = re.compile(r"#[0-9]+$")


@dataclass(slots=True)
class Listing:
    """The images at one location; `find_images` joins several.

    Attributes:
        items: See `ImageSet`.
        failures: See `ImageSet`.
        notes: See `ImageSet`.
        is_complete: Whether every image that exists here is listed, failed or left out.
        left_out: See `ImageSet`.
        archives: Keys of files in a folder that may hold further images.
        unread: Ending → how many pictures are in formats that are not read.
        by_folder: Whether labels are the names of folders; of those, some may be splits.
    """

    items: list[ImageItem] = field(default_factory=list)
    failures: list[ImageFailure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_complete: bool = True
    left_out: set[str] = field(default_factory=set)
    archives: list[str] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    by_folder: bool = False

    def overlook(self, name: str) -> None:
        """Count a file that is not read, if it is named like a picture."""
        ending = ending_of(name)
        if ending in UNREAD_SUFFIXES and not is_hidden(name):
            self.unread[ending] += 1

    def fail(self, key: str, reason: str, size: int = -1, mtime_ns: int = -1) -> None:
        """Add a failure."""
        self.failures.append(make_failure(key, reason, size, mtime_ns))


def make_failure(
    key: str, reason: str | OSError, size: int = -1, mtime_ns: int = -1
) -> ImageFailure:
    """Return the failure of one image; if its name is not UTF-8, that is the reason."""
    if not is_utf8(key):
        key = printable_key(key)
        reason = "its name is not valid UTF-8: rename it"
    elif isinstance(reason, OSError):
        reason = reason.strerror or str(reason)
    return ImageFailure(key, reason, size, mtime_ns)
