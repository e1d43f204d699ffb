"""The user's cache folder, for what featx can make again; never a temporary folder."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featx.atomic import replace_file
from featx.sealed_json import check_seal, seal

CACHE_VARIABLE = "FEATX_CACHE_DIR"
"""Environment variable that names another folder."""

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""Errors of reading a cache file that is absent, damaged, or nested too deeply."""


def user_cache_folder() -> Path:
    """Return featx's folder in the user's cache, as the operating system wants it.

    Raises:
        OSError: If the user has no home folder.

    Example:
        >>> user_cache_folder().is_absolute()
        True
    """
    try:
        return _cache_folder()
    except RuntimeError as error:  # Raised by `pathlib` if there is no home folder.
        raise OSError(str(error)) from error


def _cache_folder() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "featx"


def read_facts(kind: str, key: str) -> dict[str, Any] | None:
    """Return the facts under a key; None if there are none, or they are damaged."""
    with contextlib.suppress(*UNREADABLE):
        return read_sealed(_facts_path(kind, key))
    return None


def remember_facts(kind: str, key: str, facts: Mapping[str, Any]) -> None:
    """Store JSON-serialisable facts under a key, if the cache can be written."""
    with contextlib.suppress(OSError):
        path = _facts_path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as temporary:
            temporary.write_text(json.dumps(seal(dict(facts))), encoding="utf-8")


def forget_facts(kind: str, key: str) -> None:
    """Delete the facts under a key."""
    with contextlib.suppress(OSError):
        _facts_path(kind, key).unlink(missing_ok=True)


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a JSON file with a seal.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged.
        KeyError: If it has no seal.
    """
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    check_seal(data)
    return data


def _facts_path(kind: str, key: str) -> Path:
    return user_cache_folder() / kind / f"{key}.json"
