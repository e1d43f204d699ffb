"""Archives that lie in a folder without images: they are read only where they are named."""

from __future__ import annotations

import glob
import importlib
import os
from collections import Counter
from collections.abc import Container

from featx.errors import join_names
from featx.images.sources.request import IsExcluded
from featx.units import format_count

_ARCHIVES = ("tars", "zips")
"""Modules of this package whose files may hold the images of a folder."""


def describe_archives(
    folder: str,
    shown: str,
    *,
    root: str,
    is_excluded: IsExcluded = None,
    given: Container[str] = (),
) -> str | None:
    """Say which archives a folder without images holds, and how to name them.

    Args:
        folder: Its absolute path.
        shown: Its path as it was given.
        root: What keys are relative to.
        is_excluded: See `IsExcluded`.
        given: Absolute paths of files that are read anyway.

    Returns:
        A sentence; None where there are no archives.

    Example:
        >>> from pathlib import Path
        >>> Path("shards").mkdir()
        >>> _ = Path("shards", "0.tar").touch(), Path("shards", "1.tar").touch()
        >>> describe_archives("shards", "shards", root=".")
        "There are no images in the folder 'shards', only 2 archives: name them as 'shards/*.tar'."
    """
    modules = [importlib.import_module(f"{__package__}.{name}") for name in _ARCHIVES]
    endings: Counter[str] = Counter()
    is_deeper = False
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.join(place, name)
            key = os.path.relpath(path, root).replace(os.sep, "/")
            if (
                name.startswith(".")
                or path in given
                or not any(module.matches(path) for module in modules)
                or (is_excluded is not None and is_excluded(key))
            ):
                continue
            endings[_ending(name)] += 1
            is_deeper |= place != folder
    if not endings:
        return None
    below = "**/" if is_deeper else ""
    globs = [repr(f"{os.path.join(glob.escape(shown), below)}*{ending}") for ending in endings]
    advice = format_count(endings.total(), "archive: name it", "archives: name them")
    return (
        f"There are no images in the folder {shown!r}, only {advice} as "
        f"{join_names(globs, conjunction='and')}."
    )


def _ending(name: str) -> str:
    """Return the ending of an archive's name: both of ``.tar.gz``.

    Example:
        >>> _ending("a.b.tar.gz"), _ending("a.b.zip")
        ('.tar.gz', '.zip')
    """
    stem, ending = os.path.splitext(name)
    inner = os.path.splitext(stem)[1]
    return inner + ending if inner.lower() == ".tar" else ending
