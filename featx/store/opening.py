"""Opening the files of a store: the one way in which featx opens HDF5 files for reading."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import h5py

from featx.errors import StoreDamaged, StoreError, StoreLocked, StoreNotFound
from featx.store.format import FORMAT, READ_ERRORS, check_version, text_attribute
from featx.store.inspection import inspect_file
from featx.store.seal import fetch_file, is_seal_broken, read_seal
from featx.wording import command, option

SETTLED_SECONDS = 3
"""Age of the last change of a file from which on a further one has other times: some file systems
count in two seconds."""

MAX_INSPECTED = 100_000
"""Parts that are remembered as inspected."""

_inspected: dict[Path, tuple[int, ...]] = {}


def open_file(path: Path, *, salvage: bool = False, is_known: bool = False) -> h5py.File:
    """Open a store or part for reading, without HDF5's own file lock.

    A file that readers can see is never modified, only replaced, so that no lock is
    needed; and locks fail on many network file systems.

    Args:
        path: The file.
        salvage: Open it even if it is known to be damaged.
        is_known: Whether this very file was inspected before: what is inside is not looked at.

    Raises:
        StoreNotFound: If there is no such file.
        StoreDamaged: If it is not an HDF5 file, not complete, or holds what featx never writes.
        StoreLocked: If another program has it open for writing.
    """
    if path.is_dir():
        raise StoreNotFound(f"{str(path)!r} is a folder. Name the feature store in it.")
    if path.exists() and not path.is_file():
        raise StoreDamaged(
            f"{str(path)!r} is a pipe, a socket or a device; expected: a feature store, which is a "
            "regular file. Name another file."
        )
    if not path.exists():
        raise StoreNotFound(
            f"There is no feature store {str(path)!r}. {command('extract')} makes one."
        )
    fetch_file(path)
    while True:
        seal, size = read_seal(path), path.stat().st_size
        if seal is None or seal.num_bytes == size or seal == read_seal(path):
            break  # Otherwise a writer replaced the file between the two.
    is_sealed = seal is not None
    if salvage:
        seal = None
    if seal is not None and seal.num_bytes != size:
        _refuse_open_for_writing(path)
        raise StoreDamaged(
            f"{str(path)!r} is damaged: it has {size:,} bytes and was written with "
            f"{seal.num_bytes:,}. Copy it again, or extract again with {option('overwrite', True)}."
        )
    # A view is small, and HDF5 keeps what it refers to in a heap without checksums.
    if seal is not None and seal.kind == "view" and is_damaged(path):
        raise StoreDamaged(
            f"{str(path)!r} is damaged: its bytes are not those that were written. The features "
            f"are in its parts; move it away, and the same {command('extract')} makes it anew."
        )
    file = _open_hdf5(path)
    # Of a file without a seal, nothing but the format is read.
    if is_known or (not is_sealed and not salvage):
        return file
    try:
        check_version(file, path)
        inspect_file(file, path, salvage=salvage)
    except StoreError:  # Which is an OSError, too.
        file.close()
        raise
    except READ_ERRORS as error:
        file.close()
        raise StoreDamaged(f"{str(path)!r} is a damaged feature store: {error}") from error
    return file


def open_part(path: Path, *, salvage: bool = False) -> h5py.File:
    """Open a part, which holds its features; see `open_file`.

    A view has more parts than files that may be open, and opens each many times. One that was
    inspected in this process, and is the same file as then, is not inspected again.
    """
    state = None if salvage else _state_of(path)
    is_known = state is not None and _inspected.get(path) == state
    file = open_file(path, salvage=salvage, is_known=is_known)
    if is_known:
        return file
    if "parts" in file:
        file.close()
        raise StoreDamaged(
            f"The part {str(path)!r} is refused: it is a view; expected: a file with features. "
            f"Bring the part back, or extract again with {option('overwrite', True)}."
        )
    if state is not None:
        if len(_inspected) >= MAX_INSPECTED:
            _inspected.clear()
        _inspected[path] = state
    return file


def _state_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file does; None while a change might not show in its times."""
    try:
        found = path.stat()
    except OSError:
        return None
    if time.time() - max(found.st_mtime, found.st_ctime) < SETTLED_SECONDS:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_damaged(path: Path) -> bool:
    """Whether the bytes of a file are not those that were sealed; reads all of it.

    Raises:
        StoreLocked: If another program has it open for writing, and may be changing it.
    """
    if not is_seal_broken(path):
        return False
    if path.is_file():
        _refuse_open_for_writing(path)
    return True


def _refuse_open_for_writing(path: Path) -> None:
    """Raise StoreLocked if HDF5 marked a file as open for writing, which changes its bytes."""
    with contextlib.suppress(StoreDamaged):
        _open_hdf5(path).close()


def _open_hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "already open for write" in str(error):
            raise StoreLocked(
                f"{str(path)!r} is open for writing in another program, or was when that program "
                "was stopped. Close it there; if it is closed, bring back a copy, or extract again "
                f"with {option('overwrite', True)}."
            ) from error
        if "locking flag" in str(error):  # HDF5 opens a file in a process in one way only.
            raise StoreError(
                f"{str(path)!r} is open in this process already, with HDF5's locks. Close it, or "
                "open it with h5py.File(..., locking=False)."
            ) from error
        raise StoreDamaged(
            f"{str(path)!r} cannot be opened as an HDF5 file: it is damaged, or no feature store."
        ) from error


def is_store(path: Path) -> bool:
    """Whether a file is a feature store of any version, damaged or not."""
    try:
        if read_seal(path) is not None:
            return True
        with open_file(path) as file:
            return text_attribute(file, "format", "") == FORMAT
    except (StoreError, *READ_ERRORS):
        return False
