"""Files that are either complete or absent: write beside, flush to the disk, rename."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Publisher(Protocol):
    """Sends the files of a folder elsewhere, where they count, before they have their names."""

    def put(self, source: Path, path: Path) -> None:
        """Send the finished file `source`, which will be `path`."""

    def remove(self, path: Path) -> None:
        """Delete what was sent of `path`."""


_publishers: dict[Path, Publisher] = {}


@contextlib.contextmanager
def published(path: Path, publisher: Publisher) -> Iterator[None]:
    """Have a file, or all files directly in a folder, sent when they are replaced or removed."""
    _publishers[path] = publisher
    try:
        yield
    finally:
        del _publishers[path]


def find_publisher(path: Path) -> Publisher | None:
    """Return what sends a file, or the files of its folder; None if nothing does."""
    return _publishers.get(path) or _publishers.get(path.parent)


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes `path`, all at once.

    The content reaches the disk before the new name does, and the folder's entry after it:
    neither a killed process nor a power cut leaves half a file under `path`. After an error
    the temporary file is removed and an older `path` is untouched.

    Args:
        path: Where the file is to be.

    Yields:
        A path in the same folder.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replace_file(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    _remove_leftovers(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync_path(temporary)
        publisher = find_publisher(path)
        if publisher is not None:
            publisher.put(temporary, path)
        os.replace(temporary, path)
        sync_path(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _remove_leftovers(path: Path) -> None:
    """Delete the temporary files of processes that were killed while writing `path`."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.[0-9]*.tmp"):
        pid = leftover.name.removeprefix(f"{path.name}.").removesuffix(".tmp")
        if pid.isdigit() and not is_process_alive(int(pid)):
            remove_file(leftover)


def is_process_alive(pid: int) -> bool:
    """Whether a process with this number exists on this machine."""
    if os.name == "nt":  # There, signal 0 would end it.
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def make_folder(path: Path) -> None:
    """Make a folder and flush its name to the disk: what is committed in it depends on that."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_path(path.parent)


def remove_file(path: Path) -> None:
    """Delete a file if it exists."""
    publisher = find_publisher(path)
    if publisher is not None:
        publisher.remove(path)
    path.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Flush a file's or folder's content to the disk."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open folders for this.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
