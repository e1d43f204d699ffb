"""Writing HDF5 so that a full disk or Ctrl-C is an exception, not a crash.

When a write fails below HDF5, the library can neither finish nor close the file: the next
close, at the latest that at the end of the process, is a segmentation fault (HDF5 1.14, on a
full disk). So errors are hidden from HDF5: it writes to an object that remembers the first error
and ignores everything after it; the error is raised when HDF5 has closed the file. The
writing runs in a thread, because Python raises KeyboardInterrupt only in the main one, where
it could otherwise surface in the middle of a write.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from featx.store.seal import SEAL_BYTES, Kind, compute_seal


class GuardedFile(io.RawIOBase):
    """A file for HDF5 to write to, which accepts everything after the first failed write.

    Attributes:
        error: The first error, or None.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self.error: BaseException | None = None

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error

    def seal(self, kind: Kind) -> None:
        """Hash what was written, and write the hash before it."""
        seal = compute_seal(self._file, kind).to_bytes()
        self._file.seek(0)
        self.write(seal)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Read what was written."""
        return self._file.readinto(buffer) or 0

    def write(self, data: Any) -> int:
        """Write all of `data`, or remember the error."""
        rest = memoryview(data).cast("B")
        count = len(rest)
        while self.error is None and len(rest):
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                self.error = error
        return count

    def truncate(self, size: int | None = None) -> int:
        """Set the file's length, or remember the error."""
        if self.error is None:
            try:
                return self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size or 0


def write_hdf5(
    path: Path, fill: Callable[[h5py.File, Callable[[], None]], None], *, kind: Kind = "data"
) -> None:
    """Create a sealed HDF5 file that readers of HDF5 1.10 understand.

    Args:
        path: The file to create. Not atomic by itself; see `featx.atomic.replace_file`.
        fill: Writes the content. Its second argument, called between blocks, ends it early
            when a write has failed or the user has pressed Ctrl-C.
        kind: See `featx.store.seal.Kind`.

    Raises:
        OSError: If the disk is full or cannot be written; the file is then not usable.
    """
    guard = GuardedFile(path)
    failures: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            with h5py.File(
                guard,
                "w",
                libver=("v110", "v110"),
                locking=False,
                userblock_size=SEAL_BYTES,
            ) as file:
                fill(file, guard.check)
            if guard.error is None:
                guard.seal(kind)
        except BaseException as error:
            failures.append(error)
        finally:
            try:
                guard.close()  # Network file systems report a full disk here.
            except OSError as error:
                failures.append(error)
            finally:
                done.set()

    threading.Thread(target=work, name="featx-write").start()
    while not done.is_set():
        try:
            done.wait()
        except BaseException as interruption:
            guard.error = guard.error or interruption
    guard.check()
    if failures:
        raise failures[0]
