"""The seal: a store's first 512 bytes, with the SHA-256 of all bytes after them.

HDF5 leaves a file's first 512 bytes to the user (its "user block") when asked to. HDF5's own
checksums cover every chunk and nearly all metadata, but not the space between them; the seal
covers every byte, identifies a part without opening it, and can be checked with
``tail -c +513 features.h5 | sha256sum``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from featx.errors import StoreError
from featx.objects.copies import fetch, read_head

SEAL_BYTES = 512
"""Size of the seal; the smallest user block that HDF5 has."""

Kind = Literal["data", "view"]
"""``data``: the file holds its features; ``view``: they are in part files that it names."""

_SEAL = re.compile(
    rb"featx-store\nkind (data|view)\nbytes ([0-9]{1,18})\nsha256 ([0-9a-f]{64})\n\0*"
)
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Seal:
    """The content of a seal.

    Attributes:
        kind: Whether the features are in this file.
        num_bytes: Size of the whole file.
        sha256: Of all bytes after the seal, in hexadecimal.
    """

    kind: Kind
    num_bytes: int
    sha256: str

    def to_bytes(self) -> bytes:
        """Return the 512 bytes."""
        text = f"featx-store\nkind {self.kind}\nbytes {self.num_bytes}\nsha256 {self.sha256}\n"
        return text.encode().ljust(SEAL_BYTES, b"\0")


def compute_seal(file: IO[bytes], kind: Kind) -> Seal:
    """Hash an open file from the end of its seal.

    Example:
        >>> import io
        >>> seal = compute_seal(io.BytesIO(bytes(512) + b"content"), "data")
        >>> seal.num_bytes, seal.sha256[:8]
        (519, 'ed7002b4')
    """
    digest = hashlib.sha256()
    file.seek(SEAL_BYTES)
    size = SEAL_BYTES
    while block := file.read(_BLOCK):
        digest.update(block)
        size += len(block)
    return Seal(kind, size, digest.hexdigest())


def read_seal(path: Path) -> Seal | None:
    """Return the seal of a file; None if it has none, or a damaged one.

    Raises:
        StoreError: If the file cannot be read.
    """
    try:
        block = read_head(path)
        if block is None:
            with _open(path) as file:
                block = file.read(SEAL_BYTES)
    except StoreError:
        raise
    except OSError as error:  # A refusal (too many files, permissions) is not damage.
        raise StoreError(f"{str(path)!r} cannot be opened: {error.strerror}.") from error
    return _parse(block)


def fetch_file(path: Path) -> None:
    """Transfer a file of a store in an object store that is not here yet; leave others alone.

    Raises:
        StoreError: If it cannot be fetched, or is not what was sealed.
    """
    fetch(path, lambda came: not is_seal_broken(came))


def _open(path: Path) -> IO[bytes]:
    """Open a regular file; a pipe or a device could block, or never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb", buffering=0)


def _parse(block: bytes) -> Seal | None:
    match = _SEAL.fullmatch(block)
    if match is None:
        return None
    kind: Kind = "view" if match[1] == b"view" else "data"
    return Seal(kind, int(match[2]), match[3].decode())


def is_seal_broken(path: Path) -> bool:
    """Whether the bytes of a file are not those that were sealed; reads all of it."""
    if path.exists() and not path.is_file():
        return True  # A pipe, for example.
    fetch_file(path)
    # Opened once: a writer may replace the file before it is opened again.
    with _open(path) as file:
        seal = _parse(file.read(SEAL_BYTES))
        if seal is None:
            return True
        return os.fstat(file.fileno()).st_size != seal.num_bytes or (
            compute_seal(file, seal.kind) != seal
        )
