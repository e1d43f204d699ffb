"""One writer for each store: a lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from featx.atomic import is_process_alive, make_folder, sync_path
from featx.errors import StoreError, StoreLocked
from featx.events import Listener
from featx.wording import option

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "lock"
"""File in a parts folder that a writer locks; it names the writer's process."""

CLAIM_NAME = "lock.claim"
"""File in a parts folder that exists while a writer works, if the file system has no locks."""

WAIT_SECONDS = 0.5
"""Seconds between two attempts while another process writes."""

MAX_TRIES = 1000
"""Attempts at taking a lock whose folder vanishes each time. Another writer may remove it, but a
file system on which it always does, such as ``/proc``, takes no folders."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Errors of file systems without locks (some network file systems)."""


@contextlib.contextmanager
def lock_for_writing(folder: Path, waiting: Listener | None = None) -> Iterator[None]:
    """Hold the writer's lock of a parts folder, creating the folder.

    The lock is an advisory lock on a file, which the system releases however its owner ends: a
    killed process leaves no stale lock. Where the file system has no such locks, a file that names
    its process is the lock; it is stale once that process, on this machine, is gone.

    Args:
        folder: The parts folder.
        waiting: Wait for another writer to end, and tell this listener; None to refuse.

    Raises:
        StoreLocked: If another process holds it; names the process and since when.
    """
    told = False
    while True:
        try:
            release = try_lock(folder)
            break
        except StoreLocked as error:
            if waiting is None:
                raise
            if not told:
                waiting.note(f"{str(error).partition('. ')[0]}: waiting for it to finish")
                told = True
            time.sleep(WAIT_SECONDS)
    try:
        # A killed writer may have left names that have not reached the disk yet: of the store, of
        # a part, of this folder. What follows relies on them, and deletes what they replace.
        try:
            sync_path(folder)
            sync_path(folder.parent)
        except OSError as error:
            raise _unwritable(folder, error) from error
        yield
    finally:
        _tidy(folder)
        release()


def try_lock(folder: Path) -> Callable[[], None]:
    """Take the lock or raise StoreLocked; return a function that releases it."""
    missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for _ in range(MAX_TRIES):
        try:
            make_folder(folder)
            descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError as error:
            missing = error
            continue  # The previous owner removed the folder in between.
        except FileExistsError as error:
            if folder.is_dir() or not os.path.lexists(folder):
                continue  # It was removed after it was found.
            raise _unwritable(folder, error) from error
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            locked = _lock_file(folder, descriptor)
            if locked and _is_current(folder, descriptor):
                _write_owner(descriptor)
                return lambda: os.close(descriptor)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError) and not isinstance(error, StoreError):
                raise _unwritable(folder, error) from error  # A full disk: no room for the name.
            raise
        os.close(descriptor)
        if locked:
            continue  # Locked a file that the previous owner had just removed.
        try:
            return _claim(folder)
        except FileNotFoundError as error:
            missing = error  # The folder was removed before there was a claim in it.
        except StoreError:
            raise
        except OSError as error:
            raise _unwritable(folder, error) from error
    raise _unwritable(folder, missing) from missing


def _lock_file(folder: Path, descriptor: int) -> bool:
    """Lock an open file; False if the file system has no locks."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            raise _refusal(folder, _read_owner(folder / LOCK_NAME)) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    return False


def _claim(folder: Path) -> Callable[[], None]:
    """Make the file that serves as the lock, replacing one whose process is gone."""
    path = folder / CLAIM_NAME
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            owner = _read_owner(path)
            if not _is_gone(owner):
                raise _refusal(folder, owner, remove=path) from None
            _take_away(path, owner)
            continue
        try:
            mine = _write_owner(descriptor)
        except OSError:
            path.unlink()  # A file that names no process would never become stale.
            raise
        finally:
            os.close(descriptor)
        return lambda: _give_back(path, mine)


def _give_back(claim: Path, mine: dict[str, Any]) -> None:
    """Remove a claim, unless `_tidy` has and another process has made its own since."""
    if _read_owner(claim) == mine:
        claim.unlink(missing_ok=True)


def _take_away(claim: Path, owner: dict[str, Any]) -> None:
    """Remove a stale claim, but not a new one that has replaced it meanwhile."""
    stale = claim.with_name(f"{CLAIM_NAME}.{os.getpid()}.stale")
    with contextlib.suppress(FileNotFoundError):
        os.rename(claim, stale)
        if _read_owner(stale) != owner:
            os.rename(stale, claim)
        else:
            stale.unlink()


def _write_owner(descriptor: int) -> dict[str, Any]:
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.time(),
        "process_started": process_start(os.getpid()),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode(), 0)
    return owner


def _read_owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        return owner if isinstance(owner, dict) else {}
    except (OSError, ValueError):
        return {}


def _is_gone(owner: dict[str, Any]) -> bool:
    """Whether the process that a record names has certainly ended."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False  # Another machine's processes cannot be seen from here.
    started = process_start(owner["pid"])
    if started is not None:
        return bool(started != owner.get("process_started"))  # The process number was reused.
    return not is_process_alive(owner["pid"])


def process_start(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot (Linux); else None."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[19])  # Field 22; the name may hold spaces.


def _tidy(folder: Path) -> None:
    """Remove the folder, while holding its lock, if there are no parts in it."""
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
        if all(name.startswith("lock") or name.endswith(".tmp") for name in names):
            for name in sorted(names, key=lambda name: name.startswith("lock")):  # Locks last.
                os.unlink(folder / name)
            os.rmdir(folder)


def _is_current(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder / LOCK_NAME), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _refusal(folder: Path, owner: dict[str, Any], *, remove: Path | None = None) -> StoreLocked:
    who = "Another process"
    with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
        who = f"Process {owner['pid']} on {owner['host']} (since {since})"
    stale = f" If it no longer runs, delete {str(remove)!r}." if remove is not None else ""
    return StoreLocked(
        f"{who} is writing to {_store_of(folder)!r}. Wait for it ({option('wait', True)}), or "
        f"choose another file with {option('output')}.{stale}"
    )


def _unwritable(folder: Path, error: OSError) -> StoreError:
    remedy = "Make room, or choose" if error.errno == errno.ENOSPC else "Choose"
    return StoreError(
        f"{_store_of(folder)!r} cannot be written: {error.strerror}. {remedy} another path with "
        f"{option('output')}."
    )


def _store_of(folder: Path) -> str:
    return str(folder).removesuffix(".parts")
