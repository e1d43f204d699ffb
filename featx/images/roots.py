"""`Root`: what the keys of images are relative to."""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass
from pathlib import Path

from featx.files import is_same_file, relative_path


class RootKind(enum.Enum):
    """What a root is.

    Attributes:
        DISK: A folder, or a file that holds many images (an archive, arrays) and counts as the
            folder of what is in it. Only the disk can tell them apart: a store records the path.
        URL: A folder or file that fsspec opens.
        MEMORY: Images that were passed in Python. There is no other way back to them.
    """

    DISK = "disk"
    URL = "url"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Root:
    """What image keys are relative to: a folder, an archive, a URL, or memory.

    Attributes:
        kind: Which of these it is.
        text: The absolute path, the URL, or ``python:``, exactly as stores and indexes record it.
    """

    kind: RootKind
    text: str

    @classmethod
    def parse(cls, text: str | Path) -> Root:
        """Return the root that a store records, or that a path or URL is.

        Example:
            >>> [Root.parse(text).kind.value for text in ("/data/photos", "s3://photos", "python:")]
            ['disk', 'url', 'memory']
        """
        text = str(text)
        if text == MEMORY.text:
            return MEMORY
        return cls(RootKind.URL if is_url(text) else RootKind.DISK, text)

    def __str__(self) -> str:
        return self.text

    @property
    def is_on_disk(self) -> bool:
        """Whether it has a path."""
        return self.kind is RootKind.DISK

    @property
    def is_in_memory(self) -> bool:
        """Whether its images were passed in Python: images that are missing may still exist."""
        return self.kind is RootKind.MEMORY

    @property
    def path(self) -> Path:
        """The path of a root on disk.

        Raises:
            ValueError: If it is a URL or memory.
        """
        if not self.is_on_disk:
            raise ValueError(f"A root on disk is expected. Received: {self.text!r}.")
        return Path(self.text)

    def exists(self) -> bool:
        """Whether it is on disk, and there now."""
        # os.path: `Path.exists` fails where a name is too long for the disk.
        return self.is_on_disk and os.path.exists(self.text)

    def location(self, key: str) -> str:
        """Return where an image is, as text: a path, a URL, or in memory its key alone.

        Example:
            >>> Root.parse("/data/photos").location("cat/1.jpg")
            '/data/photos/cat/1.jpg'
            >>> Root.parse("s3://bucket/photos").location("cat/1.jpg")
            's3://bucket/photos/cat/1.jpg'
            >>> MEMORY.location("cat/1.jpg")
            'cat/1.jpg'
        """
        if self.is_in_memory:
            return key
        return str(Path(self.text, key)) if self.is_on_disk else f"{self.text.rstrip('/')}/{key}"

    def shown(self, key: str) -> str:
        """Return a key for a message: a path from the root of the disk keeps its first slash.

        Example:
            >>> Root.parse("/data").shown("1.jpg"), Root.parse("/").shown("data/1.jpg")
            ('1.jpg', '/data/1.jpg')
        """
        return self.location(key) if self.is_whole_disk else key

    @property
    def is_whole_disk(self) -> bool:
        """Whether it is the root of the disk: what its folders share says nothing."""
        return self.is_on_disk and os.path.dirname(self.text) == self.text

    def relative_to(self, folder: Path) -> str:
        """Return the text by which `relocate` finds it after it was moved together with a folder.

        Example:
            >>> Root.parse("/data/photos").relative_to(Path("/data/features"))
            '../photos'
            >>> Root.parse("s3://bucket").relative_to(Path("/data/features"))
            's3://bucket'
        """
        return relative_path(self.path, folder) if self.is_on_disk else self.text

    def relocate(self, relative: str, folder: Path, first_key: str | None) -> Root:
        """Return where a recorded root is now, perhaps moved with the file that records it.

        Of the path relative to that file's folder and the recorded one, the first that holds the
        first image (or is an archive); if neither does, the relative one where it exists.

        Args:
            relative: What `relative_to` returned.
            folder: The absolute folder of the file that records both, now.
            first_key: Key of any image; None if there is none.
        """
        if not self.is_on_disk:
            return self
        moved = Root(RootKind.DISK, os.path.normpath(folder / relative))
        if first_key is not None:
            for candidate in (moved, self):
                if os.path.exists(candidate.location(first_key)) or os.path.isfile(candidate.text):
                    return candidate
        return moved if moved.exists() else self

    def is_same(self, other: Root) -> bool:
        """Whether both are one: by text, or one file or folder under two paths."""
        if self == other:
            return True
        return self.is_on_disk and other.is_on_disk and is_same_file(self.path, other.path)


MEMORY = Root(RootKind.MEMORY, "python:")
"""The root of images that were passed in Python."""


def is_url(text: str) -> bool:
    """Whether text is an address rather than a path.

    Example:
        >>> is_url("s3://bucket/a.jpg"), is_url("photos/a.jpg")
        (True, False)
    """
    return _URL.match(text) is not None


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://")


def public_url(url: str) -> str:
    """Return a URL without passwords and signatures, which must not be recorded."""
    if url.startswith("http"):
        url = url.split("?", 1)[0].split("#", 1)[0]
    return re.sub(r"(?<=://)[^/@]*@", "", url).rstrip("/")
