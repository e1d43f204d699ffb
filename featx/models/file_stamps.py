"""What tells whether the files of a model have changed: their sizes and times."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from featx.models.in_memory import InMemory, Reference
from featx.models.reference import is_module_url, parse_reference
from featx.models.sources import SOURCES


def stamp_model(model: Reference, weights: str | None) -> list[list[Any]]:
    """Return ``[path, size, mtime]`` of each file that a reference names.

    A module at a URL has none: it is downloaded once, whenever that is.
    """
    if isinstance(model, InMemory):
        return []
    source, name, _ = parse_reference(model)
    if is_module_url(name):
        return []
    files = SOURCES[source].files(name, weights)
    if files is None:
        files = [Path(name), *([] if weights is None else [Path(weights)])]
    return stamp_files(files)


def stamp_files(files: Iterable[Path]) -> list[list[Any]]:
    """Return ``[path, size, mtime]`` of each file that exists."""
    stamps = []
    for file in files:
        if file.is_file():
            status = file.stat()
            stamps.append([str(file.absolute()), status.st_size, status.st_mtime_ns])
    return stamps
