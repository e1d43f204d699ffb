"""Telling files of indexes from others, without FAISS or NumPy."""

from __future__ import annotations

import os
from pathlib import Path

MAGIC = b"featxIdx"
"""The last bytes of an index, and the first ones of a file that FAISS alone does not read."""

FLAT_KINDS = {"ip": b"IxFI", "l2": b"IxF2"}
"""How a file of FAISS with plain vectors begins, by metric."""


def is_container(path: Path) -> bool:
    """Whether a file ends as an index does."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(MAGIC)))
        return file.read() == MAGIC


def begins_index(path: Path) -> bool:
    """Whether a file begins as an index does, also one that is cut off or of version 2."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    return start == MAGIC or start[:4] in FLAT_KINDS.values()


def is_index_file(path: Path) -> bool:
    """Whether a path is that of an index, perhaps a damaged one."""
    return path.is_file() and (begins_index(path) or is_container(path))


def description_path(path: Path) -> Path:
    """Return the path of the description of an index of version 2: its own and ``.json``."""
    return path.with_name(f"{path.name}.json")
