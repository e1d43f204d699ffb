"""Converted networks in the user's cache: whole, checked, and made again where they are not."""

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
"""No conversion takes that long."""

MAX_BYTES = 4 << 30
"""Most that all converted networks take on the disk, the newest excepted."""


def find_network(key: str) -> Path | None:
    """Return the folder of a converted network, its files as they were written; else None.

    A flipped bit in weights gives plausible, wrong features: every file is hashed.
    """
    try:
        folder = _folder(key)
        card = read_sealed(folder / CARD_NAME)
        if all(hash_file(folder / name) == sha256 for name, sha256 in card["files"].items()):
            with contextlib.suppress(OSError):  # A cache may be read-only.
                os.utime(folder)  # When it was last of use: the oldest are deleted first.
            return folder
    except UNREADABLE:
        pass
    return None


def keep_network(key: str, write: Callable[[Path], None], facts: Mapping[str, Any]) -> Path | None:
    """Put a converted network into the cache, all at once.

    Args:
        key: What it was converted from, and by which version.
        write: Writes its files into a folder.
        facts: What a person who looks into the cache wants to know.

    Returns:
        Its folder; None where the cache cannot be written.
    """
    temporary: Path | None = None
    try:
        folder = _folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder.parent)
        # Not by `tempfile`, which makes it the user's alone: a cache may be shared.
        temporary = folder.with_name(f"{key}.{uuid.uuid4().hex}.tmp")
        temporary.mkdir()
        write(temporary)
        files = {path.name: hash_file(path) for path in sorted(temporary.iterdir())}
        card = seal({**facts, "files": files})
        (temporary / CARD_NAME).write_text(json.dumps(card, indent=1), encoding="utf-8")
        if find_network(key) is None:  # Else another process has it, and may be reading.
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists() and not folder.is_dir():
                folder.unlink()
            temporary.rename(folder)
            _delete_oldest(keep=folder)
    except (OSError, RuntimeError):  # OpenVINO's own error for a full disk is the latter.
        return None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _folder(key: str) -> Path:
    return user_cache_folder() / "networks" / key


def _delete_oldest(keep: Path) -> None:
    """Delete networks that were not used for the longest time, where all take too much disk."""
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
    """Delete what was left by processes that were killed while they converted.

    By age, not by the process: that may be of another machine, which shares the cache.
    """
    for leftover in folder.glob("*.tmp"):
        if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
