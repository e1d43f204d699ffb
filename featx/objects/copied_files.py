"""Single files of copies: made whole, or absent until they are opened."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from featx.errors import StoreError
from featx.objects.addresses import Address, copies_folder
from featx.user_cache import CACHE_VARIABLE

LEFTOVER_SECONDS = 24 * 3600
"""Age from which on a half-fetched file is taken for one of a process that was killed."""

ABSENT = b"featx-absent\n"
"""How a file begins that must be fetched before it can be read; the object's head follows."""


@contextlib.contextmanager
def explained_copy(address: Address) -> Iterator[None]:
    """Turn an error of the disk into one that says what to do."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"No copy of {address.url!r} can be kept on this machine: {error}. Correct that, or "
            f"name another folder for copies in {CACHE_VARIABLE}."
        ) from error


def make_copy_folder(folder: Path) -> None:
    """Make a folder of a copy; what is in a bucket is not for all users of the machine."""
    copies_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def replaced_copy(file: Path) -> Iterator[Path]:
    """Give a temporary path, which becomes `file` if something was written to it."""
    make_copy_folder(file.parent)
    temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        if temporary.exists():
            os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


def make_absent(file: Path, size: int, head: bytes = b"") -> None:
    """Put a file in a copy that is fetched when it is opened.

    Args:
        file: The file.
        size: Of the object, in bytes.
        head: The first bytes of the object, if they are known.
    """
    with replaced_copy(file) as temporary, temporary.open("wb") as out:
        out.write(ABSENT + head)
        out.truncate(size)


def is_absent(file: Path) -> bool:
    """Whether a file of a copy must be fetched before it can be read."""
    with contextlib.suppress(OSError), file.open("rb") as opened:
        return opened.read(len(ABSENT)) == ABSENT
    return False


def is_leftover(file: Path) -> bool:
    """Whether a half-fetched file is one of a process that was killed."""
    try:
        return time.time() - file.stat().st_mtime > LEFTOVER_SECONDS
    except OSError:
        return False
