"""Images that a table names: a manifest in CSV, JSON lines or Parquet, or a list in a text file.

A key is the path relative to the table's folder. Where absolute paths lead elsewhere, keys are
relative to the closest common folder of everything.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from featx.errors import ImageError, ImagesNotFound, InvalidValue, closest_names, join_names
from featx.images.roots import is_url, public_url
from featx.images.sources import remote
from featx.images.sources.columns import TableRow, value_at
from featx.images.sources.folders import make_item
from featx.images.sources.items import ImageItem, Listing
from featx.images.sources.keys import is_file_anywhere_with, label_of, member_key
from featx.images.sources.kinds import ImageSource
from featx.images.sources.remote_rows import RemoteRows, key_of_url, url_of_row
from featx.images.sources.request import SourceRequest, Table
from featx.images.sources.splits import same_split
from featx.images.sources.table_columns import PATH_COLUMNS, TableError
from featx.images.sources.table_files import TABLE_ENDINGS
from featx.images.sources.tables import (
    ImageTable,
    read_image_table,
    spellings,
)
from featx.text_files import decode_text

_FOREIGN = re.compile(r"[A-Za-z]:[\\/]|\\\\")
"""How absolute paths of Windows begin: with a drive, or with the name of a server."""


class ManifestSource(ImageSource):
    """Tables of paths, and lists of paths."""

    has_splits = True

    def matches(self, location: str) -> bool:
        """Whether a file is a manifest, by its ending."""
        return is_file_anywhere_with(location, TABLE_ENDINGS)

    def list_images(self, request: SourceRequest) -> Listing:
        """List the rows of a table, each an image or a failure."""
        table = request.table or read_manifest(request.location)
        listing = Listing(by_folder=not table.has_labels, notes=list(table.notes))
        earlier: dict[str, tuple[str | None, str | None, int]] = {}
        columns = dict(table.columns)
        at_urls = RemoteRows(request.root) if is_url(request.root.text) else None
        for number in _rows_of_split(table, request.split):
            path, label, split = table.rows[number]
            try:
                key = _key(path, table.folder, request.root.text)
            except ImageError as error:
                listing.fail(path, error.reason)
                continue
            *known, first = earlier.setdefault(key, (label, split, number))
            for kind, one, other in zip(("label", "split"), (label, split), known, strict=True):
                if one != other:
                    raise InvalidValue(
                        f"{table.name!r} gives {path!r} the {kind} {one!r} in one row and "
                        f"{other!r} in another. Keep one of them."
                    )
            if first != number:
                listing.notes += _drop_differing(columns, first, number, path)
            if at_urls is None:
                path = os.path.join(request.root.text, key)
                found = make_item(request.root, key, partial(os.stat, path))
            else:
                found = at_urls.make_item(key, url_of_row(path, table.folder))
            if isinstance(found, ImageItem):
                label = label if table.has_labels else label_of(key)
                row = TableRow(columns, number) if table.columns else None
                listing.items.append(replace(found, label=label, split=split, row=row))
            else:
                listing.failures.append(found)
        return listing


SOURCE = ManifestSource()


def _rows_of_split(table: Table, split: str | None) -> Sequence[int]:
    if split is None:
        return range(len(table.rows))
    rows = [number for number, row in enumerate(table.rows) if same_split(row[2], split)]
    if not rows:
        splits = sorted({row[2] for row in table.rows if row[2]})
        raise ImagesNotFound(
            f"No row of {table.name!r} is of the split {split!r}. "
            + (f"Its splits are {join_names(splits)}." if splits else "It has no splits.")
        )
    return rows


def _drop_differing(
    columns: dict[str, np.ndarray], one: int, other: int, path: str
) -> Iterator[str]:
    """Drop the columns in which two rows of one image differ: neither value is the image's."""
    for name, column in list(columns.items()):
        if value_at(column, one) != value_at(column, other):
            del columns[name]
            yield f"the column {name!r} is not kept: two rows of {path!r} differ in it"


def _key(path: str, folder: str, root: str) -> str:
    if is_url(root):
        return key_of_url(url_of_row(path, folder), root)
    if is_url(path):
        raise ImageError("a URL in a table of paths is not read: put URLs in a table of their own")
    path = _spell(path, folder)
    if os.path.isabs(path):
        return os.path.relpath(os.path.normpath(path), root).replace(os.sep, "/")
    if _FOREIGN.match(path):
        raise ImageError(
            "its path is absolute, on a Windows computer: write it relative to the table"
        )
    key = member_key(path)
    below = os.path.relpath(folder, root).replace(os.sep, "/")
    return key if below == "." else f"{below}/{key}"


def _spell(path: str, folder: str) -> str:
    """Return the spelling of a path under which there is something; else the most usual one."""
    first, *others = spellings(path)
    if not others:  # As of most rows: the disk is not asked twice.
        return first
    found = next((o for o in (first, *others) if os.path.lexists(os.path.join(folder, o))), None)
    if found is None and path.strip().startswith("\\"):
        return path.strip()  # Absolute on another system: refused as it is.
    return others[-1] if found is None else found


def _outside(paths: Iterable[str], folder: str) -> frozenset[str]:
    """Return the folders of absolute paths, or of URLs, outside the table's own folder."""
    if is_url(folder):
        urls = (public_url(path.strip()) for path in paths if is_url(path.strip()))
        return frozenset(url.rpartition("/")[0] for url in urls if not url.startswith(f"{folder}/"))
    spelled = (_spell(path, folder) for path in paths)
    folders = {os.path.dirname(os.path.normpath(path)) for path in spelled if os.path.isabs(path)}
    inside = folder.rstrip(os.sep) + os.sep
    return frozenset(other for other in folders if not f"{other}{os.sep}".startswith(inside))


def _folder_of(path: str, rows: Sequence[str]) -> str:
    """Return what relative paths of a table are relative to; of nothing but URLs, their folder."""
    if all(is_url(row.strip()) for row in rows):
        return remote.common_root([row.strip() for row in rows])
    if is_url(path):
        return public_url(path).rpartition("/")[0]
    return os.path.dirname(os.path.abspath(path))


# ---- lists ----


def read_list(path: str) -> Table:
    """Read a list: one path in each line, relative to its folder or absolute.

    If it holds a zero byte, zero bytes separate the paths and newlines are part of them, as
    ``find -print0`` writes them. Blank lines and a byte order mark are skipped; there are no
    comments, since a name may begin with ``#``. ``-`` is the standard input, whose paths are
    relative to the current folder.

    Raises:
        ImagesNotFound: If it cannot be read, or names nothing.
    """
    if path == "-":
        data, folder = sys.stdin.buffer.read(), os.getcwd()
    else:
        folder = os.path.dirname(os.path.abspath(path))
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise ImagesNotFound(
                f"The list of images {path!r} cannot be read: {error.strerror or error}."
            ) from error
    text = _decode(data)
    if "\0" in text:
        lines = text.split("\0")
    else:
        lines = [line.rstrip("\r") for line in text.split("\n")]
    paths = list(dict.fromkeys(line for line in lines if line.strip()))
    if not paths:
        raise ImagesNotFound(
            f"The list of images {path!r} is empty: one path in each line is expected."
        )
    rows = [(line, None, None) for line in paths]
    return Table(path, folder, rows, _outside(paths, folder), is_list=True)


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # As PowerShell writes it.
        return decode_text(data).text
    # Not as Latin-1, where it is not UTF-8: the names of files are bytes.
    return os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))


# ---- tables in memory ----


def make_table(
    paths: Sequence[str], labels: Sequence[str | None] | None, said: ImageTable | None
) -> Table:
    """Return a table of paths that were passed in Python.

    Args:
        paths: The paths, relative to the current folder or absolute.
        labels: Their labels, if they have any.
        said: What a data frame says beside them.
    """
    count = len(paths)
    absolute = [path if is_url(path) else os.path.abspath(path) for path in paths]
    splits = said.splits if said is not None and said.splits is not None else [None] * count
    return Table(
        "the table" if said is not None else "the list",
        os.getcwd(),
        list(zip(absolute, labels or [None] * count, splits, strict=True)),
        has_labels=labels is not None,
        notes=() if said is None else said.notes,
        columns={} if said is None else said.columns,
    )


# ---- manifests ----


def read_manifest(path: str) -> Table:
    """Read a manifest: a table with a column of paths and optional columns of labels and splits.

    Its further columns are read as well.

    Raises:
        ImagesNotFound: If it cannot be read, or has no column of paths.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("photos.csv").write_text("path,label,split\\na.jpg,cat,train\\n")
        >>> read_manifest("photos.csv").rows
        [('a.jpg', 'cat', 'train')]
    """
    try:
        table = read_image_table(path, with_columns=True)
    except TableError as error:
        raise ImagesNotFound(f"The manifest {path!r} {error}") from error
    if table.paths is None:
        close = [name for name in PATH_COLUMNS if closest_names(name, table.header)]
        raise ImagesNotFound(
            f"A manifest has a column {join_names(close or PATH_COLUMNS[:5])} with the paths of "
            "images (and optionally label and split). Received: "
            f"{', '.join(table.header) or 'no columns'} in {path!r}."
        )
    if not table.paths:
        raise ImagesNotFound(f"The manifest {path!r} has columns and no rows below them.")
    empty = [None] * len(table.paths)
    rows = list(zip(table.paths, table.labels or empty, table.splits or empty, strict=True))
    folder = _folder_of(path, table.paths)
    return Table(
        path,
        folder,
        rows,
        _outside(table.paths, folder),
        has_labels=table.labels is not None,
        notes=table.notes,
        columns=table.columns,
    )
