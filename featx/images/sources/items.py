"""What every source of images gives: items under keys, in natural order, with labels."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from featx.images.roots import Root
from featx.images.sources.keys import beginnings, is_utf8, natural_key

MAX_MEMBER_BYTES = 1 << 30
"""Largest picture that is read out of an archive or from an address: what an archive or a
server claims must not be what featx allocates."""


class Reader(Protocol):
    """Knows how to read the images of one source; shared by all of its items."""

    def read(self, item: ImageItem) -> bytes:
        """Return the bytes of one image.

        Raises:
            OSError: If they cannot be had now; it is tried again in the next run.
            ImageError: If there is something wrong with this image.
        """
        ...


@runtime_checkable
class ReadsInOrder(Protocol):
    """A reader that should be asked for its images in one order: a compressed archive.

    Attributes:
        prefix: Beginning of the keys of its items.
    """

    prefix: str

    def position(self, item: ImageItem) -> int:
        """Return where an item stands in that order."""
        ...


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image to read.

    There may be millions: all items share one `root` and one `reader`, those of a class one
    `label`.

    Attributes:
        key: Path relative to the root, with ``/``: the image's name in a store.
        root: What the key is relative to.
        label: The first folder below the root, or what a manifest, an array or a ``.cls`` file
            says; None where there is none.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the file, or of the archive that it is in, in nanoseconds
            since the epoch. -1 when it is not known: such images are read to see what changed.
        reader: Reads it; None for a file at root/key.
        split: What a manifest's column or an array's name says, such as ``train``; None where
            nothing does.
    """

    key: str
    root: Root
    label: str | None
    size: int
    mtime_ns: int
    reader: Reader | None = field(default=None, compare=False, repr=False)
    split: str | None = None

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
            OSError: If they cannot be had now.
            ImageError: If there is something wrong with this image.
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
        """Whether it says nothing about the image: the file could not be read just then.

        Such an image keeps the features it has, and is tried again every time.
        """
        return self.mtime_ns < 0 and self.size < 0


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images found below one root, in natural order of their keys.

    Those of a compressed archive are in its own order: it cannot be read in any other.

    Attributes:
        root: What keys are relative to.
        items: The images.
        failures: Files, folders and archives that could not even be listed.
        notes: What a person should know about how the source was read.
        covered: Beginning of the keys of each archive (or other source that is no folder) →
            whether all of it could be listed.
        left_out: Keys inside of those that are there, but were not asked for.
        stream: Further items that are known only when they come; consumed by reading.
    """

    root: Root
    items: tuple[ImageItem, ...]
    failures: tuple[ImageFailure, ...] = ()
    notes: tuple[str, ...] = ()
    covered: Mapping[str, bool] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    stream: Iterator[ImageItem] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, in natural order."""
        return tuple(sorted({i.label for i in self.items if i.label is not None}, key=natural_key))

    def is_gone(self, key: str, listed: Container[str] = ()) -> bool:
        """Whether a key that is not among the items belongs to an image that no longer exists.

        False also where nobody can know: in an archive that is damaged or was not named.

        Args:
            key: The key.
            listed: Keys of the items and failures: a frame is there when its file is.
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
    """What one source holds; `find_images` puts several together.

    Fields as in `ImageSet`; `archives` are keys of files in a folder that may hold images too.
    """

    items: list[ImageItem] = field(default_factory=list)
    failures: list[ImageFailure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_complete: bool = True
    left_out: set[str] = field(default_factory=set)
    archives: list[str] = field(default_factory=list)

    def fail(self, key: str, reason: str, size: int = -1, mtime_ns: int = -1) -> None:
        """Add a failure."""
        self.failures.append(make_failure(key, reason, size, mtime_ns))


def make_failure(
    key: str, reason: str | OSError, size: int = -1, mtime_ns: int = -1
) -> ImageFailure:
    """Return the failure of one image; a name that is not UTF-8 is the first reason."""
    if not is_utf8(key):
        key = os.fsencode(key).decode("utf-8", "backslashreplace")
        reason = "its name is not valid UTF-8: rename it"
    elif isinstance(reason, OSError):
        reason = reason.strerror or str(reason)
    return ImageFailure(key, reason, size, mtime_ns)
