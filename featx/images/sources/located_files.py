"""Files of archives and tables, on a disk or at a URL, read in order or at a position."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from featx.errors import ImagesNotFound
from featx.images.roots import is_url, public_url
from featx.images.sources.remote import (
    WHOLE_FILES,
    describe_error,
    is_web,
    open_url,
    read_most,
    version_stamp,
)

READ_AHEAD_BYTES = 8 << 20
"""Bytes of one request where a file at a URL is read from its beginning to its end."""


class LocatedFile(Protocol):
    """A file that exists.

    Attributes:
        name: Its last name, for messages.
        size: In bytes.
        stamp: Its modification time in nanoseconds, or a number for its version; -1 for neither.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def stamp(self) -> int: ...  # noqa: D102

    def open(self) -> IO[bytes]:
        """Return it opened at its beginning; it can be positioned."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes from a position on, fewer at its end.

        Raises:
            OSError: If they cannot be read now.
        """
        ...


def locate_file(location: str) -> LocatedFile:
    """Return the file at a path or a URL.

    Raises:
        OSError: If there is none at the path, or it cannot be read.
        ImagesNotFound: If there is none at the URL, or it cannot be reached.
        InvalidValue: If no installed package opens the URL.
    """
    if not is_url(location):
        status = os.stat(location)
        return _DiskFile(location, status.st_size, status.st_mtime_ns)
    filesystem, path = open_url(location)
    try:
        info = filesystem.info(path)
    except Exception as error:  # Each filesystem raises errors of its own libraries.
        raise ImagesNotFound(
            f"{public_url(location)!r} cannot be read: {describe_error(error)}. Check the address, "
            "and that this machine may read it."
        ) from error
    if info.get("type") == "directory" or info.get("size") is None:
        raise ImagesNotFound(
            f"{public_url(location)!r} is no file of a known size, as archives and tables are: "
            "download it first."
        )
    name = public_url(location).rpartition("/")[2]
    return _RemoteFile(filesystem, path, name, int(info["size"]), version_stamp(info))


def find_files(url: str) -> Sequence[str]:
    """Return the URLs of the files that a glob at a URL names, sorted.

    Raises:
        ImagesNotFound: If there are none, or they cannot be listed.
    """
    filesystem, pattern = open_url(url)
    try:
        found = sorted(filesystem.glob(pattern))
    except Exception as error:  # Each filesystem raises errors of its own libraries.
        raise ImagesNotFound(
            f"{public_url(url)!r} cannot be listed: {describe_error(error)}. Check the address, "
            "and that this machine may read it."
        ) from error
    if not found:
        raise ImagesNotFound(f"Nothing matches {public_url(url)!r}.")
    return [path if "://" in path else str(filesystem.unstrip_protocol(path)) for path in found]


@dataclass(frozen=True, slots=True)
class _DiskFile:
    path: str
    size: int
    stamp: int

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    def open(self) -> IO[bytes]:
        return open(self.path, "rb")

    def read(self, offset: int, size: int) -> bytes:
        # Opened for each read: thousands of archives are more than the files that may be open.
        with open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(size)


@dataclass(frozen=True, slots=True)
class _RemoteFile:
    filesystem: Any
    path: str
    name: str
    size: int
    stamp: int

    def open(self) -> IO[bytes]:
        return io.BufferedReader(_Ranges(self), READ_AHEAD_BYTES)

    def read(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        try:
            if is_web(self.filesystem):
                return read_most(self.filesystem, self.path, end - offset, offset)
            data = bytes(self.filesystem.cat_file(self.path, start=offset, end=end))
        except Exception as error:  # Each filesystem raises errors of its own libraries.
            raise OSError(errno.EIO, describe_error(error)) from error
        if len(data) > end - offset:
            raise OSError(errno.EIO, WHOLE_FILES)
        return data


class _Ranges(io.RawIOBase):
    """A file at a URL, of which each read is a request."""

    def __init__(self, file: _RemoteFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
