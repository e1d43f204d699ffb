"""One writer for each store, by a lock that the system drops with the process."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from featx.errors import StoreError, StoreLocked

try:
    import fcntl
except ImportError:  # Windows: no advisory locks; two writers are the user's care there.
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "lock"


@contextlib.contextmanager
def lock_for_writing(folder: Path) -> Iterator[None]:
    """Hold the writer's lock of a parts folder, creating the folder.

    The lock is an advisory lock on a file, which the system releases when its owner ends in
    whatever way: a killed process leaves nothing stale behind.

    Args:
        folder: The parts folder.

    Raises:
        StoreLocked: If another process holds it; names the process and since when.
    """
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # The former owner removed the folder in between.
        except OSError as error:
            store = str(folder).removesuffix(".parts")
            raise StoreError(
                f"{store!r} cannot be written: {error.strerror}. Choose another place with -o."
            ) from error
        try:
            if fcntl is not None:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise StoreLocked(_describe_owner(folder, descriptor)) from None
                except OSError as error:
                    # Some network file systems have no locks; featx cannot do better there.
                    if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                        raise
                if not _is_current(folder, descriptor):
                    continue  # Locked a file that the former owner had just removed.
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(owner).encode())
            try:
                yield
            finally:
                _tidy(folder)
            return
        finally:
            os.close(descriptor)


def _tidy(folder: Path) -> None:
    """Remove the folder, whose lock is still held, if there are no parts in it."""
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
        if not any(name.startswith("part-") for name in names):
            for name in sorted(names, key=LOCK_NAME.__eq__):  # The lock itself last.
                os.unlink(folder / name)
            os.rmdir(folder)


def _is_current(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder / LOCK_NAME), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _describe_owner(folder: Path, descriptor: int) -> str:
    store = str(folder).removesuffix(".parts")
    who = "Another process"
    with contextlib.suppress(ValueError, KeyError, OSError):
        owner = json.loads(os.read(descriptor, 4096))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
        who = f"Process {owner['pid']} on {owner['host']} (since {since})"
    return f"{who} is writing to {store!r}. Wait for it, or choose another file with -o."
