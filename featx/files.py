"""Paths and contents of files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from featx.wording import option

HASH_BYTES = 16
"""Length of a content hash: BLAKE2b-128 of a file's bytes."""


def hash_content(data: bytes) -> bytes:
    """Return the BLAKE2b-128 of a file's bytes.

    Example:
        >>> hash_content(b"").hex()
        'cae66941d9efbd404e4d88758ea67670'
    """
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of one file's content, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def relative_path(path: Path, folder: Path) -> str:
    """Write an absolute path relative to a folder, with ``/``, so that both can be moved.

    Example:
        >>> relative_path(Path("/data/photos"), Path("/data/features"))
        '../photos'
    """
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # Another drive on Windows has no relative path.
        return str(path)


def is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths are the same file or folder, perhaps through links."""
    return first == second or (
        first.exists() and second.exists() and os.path.samefile(first, second)
    )


def resolve_link(path: Path) -> Path:
    """Return the file that a link leads to: that file is replaced, not the link.

    Example:
        >>> resolve_link(Path("features.h5"))
        PosixPath('features.h5')
    """
    return path.resolve() if path.is_symlink() else path


def is_wrong_output(path: Path) -> bool:
    """Whether no file can be written under `path`: see `describe_wrong_output`."""
    parent = path.absolute().parent
    return path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK)


def describe_wrong_output(path: Path, name: str = "output") -> str:
    """Say why a file cannot be written under `path`, which option `name` gave, and what to do.

    Example:
        >>> describe_wrong_output(Path("no/such/file.h5"))
        "'no/such/file.h5' cannot be written: there is no folder 'no/such'. Make it, or ..."
    """
    if path.is_dir():
        return f"{str(path)!r} is a folder. Name a file in it with {option(name)}."
    if path.absolute().parent.is_dir():
        return (
            f"{str(path)!r} cannot be written: the folder is not writable. Choose another with "
            f"{option(name)}."
        )
    if os.path.lexists(path.parent):
        return (
            f"{str(path)!r} cannot be written: {str(path.parent)!r} is no folder. Choose another "
            f"with {option(name)}."
        )
    return (
        f"{str(path)!r} cannot be written: there is no folder {str(path.parent)!r}. Make it, or "
        f"choose another with {option(name)}."
    )


_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether there is an HDF5 file, such as a feature store, by its first bytes.

    They may come behind 512 bytes of anything else.
    """
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            head = file.read(512 + len(_HDF5))
    except (OSError, ValueError):
        return False
    return head.startswith(_HDF5) or head[512:] == _HDF5
