"""Converted networks in the user's cache. Damaged ones are ignored, and made again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from featx.files import hash_file
from featx.sealed_json import seal
from featx.user_cache import UNREADABLE, read_sealed, user_cache_folder

CARD_NAME = "network.json"

LEFTOVER_SECONDS = 24 * 3600
"""Age at which an unfinished folder is deleted; no conversion takes that long."""

MAX_BYTES = 4 << 30
"""Limit of disk space for all converted networks together, except the newest."""


def find_network(key: str) -> Path | None:
    """Return the folder of a converted network; None if there is none, or it is damaged.

    Every file is hashed: a flipped bit in weights gives plausible, wrong features.
    """
    try:
        folder = _folder(key)
        card = read_sealed(folder / CARD_NAME)
        if all(hash_file(folder / name) == sha256 for name, sha256 in card["files"].items()):
            with contextlib.suppress(OSError):  # A cache may be read-only.
                os.utime(folder)  # The time of its last use: the oldest are deleted first.
            return folder
    except UNREADABLE:
        pass
    return None


def is_kept(key: str) -> bool:
    """Whether a converted network is there, without looking into it."""
    try:
        return (_folder(key) / CARD_NAME).is_file()
    except OSError:
        return False


def touch_network(key: str) -> bool:
    """Whether a converted network is there, which counts as a use, without looking into it."""
    with contextlib.suppress(OSError):
        os.utime(_folder(key))
    return is_kept(key)


def forget_network(key: str) -> None:
    """Delete a network, if the cache can be written."""
    with contextlib.suppress(OSError):
        shutil.rmtree(_folder(key), ignore_errors=True)


def keep_network(key: str, write: Callable[[Path], None], facts: Mapping[str, Any]) -> Path | None:
    """Put a converted network into the cache: completely, or not at all.

    Args:
        key: Identifies what it was converted from, and by which version.
        write: Writes its files into a folder.
        facts: A description for people who look into the cache.

    Returns:
        Its folder; None if the cache cannot be written.
    """
    temporary: Path | None = None
    try:
        folder = _folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder.parent)
        # Not made by `tempfile`, which keeps out other users: a cache may be shared.
        temporary = folder.with_name(f"{key}.{uuid.uuid4().hex}.tmp")
        temporary.mkdir()
        write(temporary)
        files = {path.name: hash_file(path) for path in sorted(temporary.iterdir())}
        card = seal({**facts, "files": files})
        (temporary / CARD_NAME).write_text(json.dumps(card, indent=1), encoding="utf-8")
        if find_network(key) is None:  # Else another process has made it, and may be reading it.
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists() and not folder.is_dir():
                folder.unlink()
            temporary.rename(folder)
            _delete_oldest(keep=folder)
    except (OSError, RuntimeError):  # OpenVINO raises RuntimeError on a full disk.
        return None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _folder(key: str) -> Path:
    return user_cache_folder() / "networks" / key


def _delete_oldest(keep: Path) -> None:
    """Delete the least recently used networks while all together take too much disk space."""
    sizes = {
        folder: sum(file.stat().st_size for file in folder.iterdir())
        for folder in sorted(keep.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)
        if folder.is_dir() and folder.suffix != ".tmp"
    }
    total = sum(sizes.values())
    for folder, size in sizes.items():
        if total <= MAX_BYTES:
            return
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def _remove_leftovers(folder: Path) -> None:
    """Delete what was left by processes that were killed during a conversion.

    Goes by age, not by the process: that may run on another machine that shares the cache.
    """
    for leftover in folder.glob("*.tmp"):
        if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
