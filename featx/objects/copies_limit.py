"""How much room copies may take on the disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from featx.objects.addresses import copies_folder, is_copy
from featx.objects.client import HEAD_BYTES
from featx.objects.copied_files import is_absent, is_leftover, make_absent
from featx.units import parse_bytes

LIMIT_VARIABLE = "FEATX_COPIES_SIZE"
"""Environment variable with another limit, such as ``200 GB``."""

DEFAULT_LIMIT = "20 GB"
"""What all copies for reading, and each one for writing, take at most beside what is just read."""

_SLACK = 0.05
_added: dict[Path, int] = {}


def limit_copies(kept: Path, size: int) -> None:
    """Make the oldest files of copies absent where all take more room than they may.

    Args:
        kept: A file that stays, since it is read next.
        size: The bytes that it has added.
    """
    room, top, names = copies_limit(), kept.parent, "*.h5"
    if is_copy(kept, "read"):  # All of them share one limit, whatever the stores are called.
        top, names = copies_folder() / "read", "*"
    _added[top] = _added.get(top, room) + size
    if _added[top] < room * _SLACK:  # Looking at all of them takes its time.
        return
    _added[top] = 0
    there = _list_fetched(top, names)
    total = sum(size for _, size, _ in there)
    for _, size, file in sorted(there):
        if total <= room:
            break
        if file != kept:
            with contextlib.suppress(FileNotFoundError):  # Another process did the same.
                with file.open("rb") as opened:
                    head = opened.read(HEAD_BYTES)
                make_absent(file, size, head)
            total -= size


def _list_fetched(top: Path, names: str) -> list[tuple[int, int, Path]]:
    """Return time, size and path of what is here; delete what killed processes have left."""
    there = []
    for file in top.rglob("*.tmp"):
        if is_leftover(file):
            file.unlink(missing_ok=True)
    for file in top.rglob(names):
        with contextlib.suppress(OSError):
            if file.suffix not in (".json", ".tmp") and file.is_file() and not is_absent(file):
                found = file.stat()
                there.append((found.st_mtime_ns, found.st_size, file))
    return there


def copies_limit() -> int:
    """Return how many bytes copies may take.

    Raises:
        InvalidValue: If the environment has something else than a size.
    """
    return parse_bytes(os.environ.get(LIMIT_VARIABLE, DEFAULT_LIMIT))
