"""A request to list images: the location, the beginning of the keys, what to leave out."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from featx.images.roots import Root
from featx.images.sources.columns import Columns

IsExcluded = Callable[[str], bool] | None
"""Whether ``--exclude`` names a key or a folder; None when nothing is excluded."""


IsStored = Callable[[str, int, int], bool]
"""Whether a store has features of a picture of this key, size and time: it need not be looked at to
see whether it is one."""

Row = tuple[str, str | None, str | None]
"""Path, label and split of an image that a table names; None where there is none."""


@dataclass(frozen=True, slots=True)
class Table:
    """Paths as a manifest or a list names them.

    Attributes:
        name: The file, as it was given.
        folder: Absolute path of the folder that relative paths are relative to.
        rows: One for each image.
        outside: Folders of absolute paths outside `folder`.
        is_list: Whether it is a list, without columns.
        has_labels: Whether it has a column of labels; a row without one then has no label.
        notes: Messages for a person about how it was read.
        columns: Further columns, with a value for each row.
    """

    name: str
    folder: str
    rows: Sequence[Row]
    outside: frozenset[str] = frozenset()
    is_list: bool = False
    has_labels: bool = False
    notes: tuple[str, ...] = ()
    columns: Columns = field(default_factory=dict)


def is_never_stored(key: str, size: int, mtime_ns: int) -> bool:
    """Say that a picture is not stored: there is no store, or nobody asks it."""
    return False


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """One source to list.

    Attributes:
        location: Absolute path or URL.
        root: What keys are relative to; recorded in the store.
        prefix: Beginning of every key: empty, or the path of the source below the root and ``/``.
        is_excluded: See `IsExcluded`.
        split: Only rows of this split; sources without splits of their own ignore it.
        table: The rows of a manifest or list, which is read before, to find the root.
        is_stored: See `IsStored`.
    """

    location: str
    root: Root
    prefix: str = ""
    is_excluded: IsExcluded = None
    split: str | None = None
    table: Table | None = None
    is_stored: IsStored = is_never_stored


def make_exclusion(patterns: Sequence[str] | str) -> IsExcluded:
    """Return the test for ``--exclude``.

    A pattern excludes an image when it matches its whole key, or the name of the file, or the
    name or path of a folder that it is in. ``*`` also matches ``/``; case counts.

    Example:
        >>> is_excluded = make_exclusion(["thumbs", "*.gif", "a/b"])
        >>> [is_excluded(key) for key in ("x/thumbs/1.jpg", "1.gif", "a/b/1.jpg", "b/1.jpg")]
        [True, True, True, False]
    """
    if isinstance(patterns, str):
        patterns = [patterns]
    if not patterns:
        return None
    # Other programs need a leading **/ to look into all folders.
    names = {name for p in patterns for name in (p.rstrip("/"), p.rstrip("/").removeprefix("**/"))}
    match = re.compile("|".join(fnmatch.translate(name) for name in sorted(names))).match

    def is_excluded(key: str) -> bool:
        parts = key.split("/")
        paths = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        return any(map(match, parts)) or any(map(match, paths))

    return is_excluded
