"""Temporary folders, of which those of killed processes are deleted by the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows
    flock = None  # type: ignore[assignment]

PREFIX, LOCK = "featx-", "lock"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder among the system's temporary files, and delete it afterwards.

    Example:
        >>> with scratch_folder() as folder:
        ...     _ = (folder / "note.txt").write_text("for a moment")
        >>> folder.exists()
        False
    """
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name, _locked(Path(name)):
        folder = Path(name) / "files"
        folder.mkdir()
        yield folder


def remove_leftovers() -> None:
    """Delete the folders of processes that were killed: this user's, whose lock nobody holds.

    A number of a process would not do. It may belong to a process of another container, which has
    the same temporary files.
    """
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if callable(flock) and entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError):  # Another process deletes it as well.
                    _remove_left(entry)


def _remove_left(entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return
    with _opened(os.path.join(entry.path, LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK) as lock:
        flock(lock, LOCK_EX | LOCK_NB)
        shutil.rmtree(entry.path)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it ends with the process."""
    with contextlib.ExitStack() as stack:
        if callable(flock):
            new = folder / "new"
            lock = stack.enter_context(_opened(new, os.O_RDWR | os.O_CREAT | os.O_EXCL))
            with contextlib.suppress(OSError):  # Where there are no locks, nobody deletes it.
                flock(lock, LOCK_EX)
                new.rename(folder / LOCK)  # It has this name only while it is held.
        yield


@contextlib.contextmanager
def _opened(path: str | Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
