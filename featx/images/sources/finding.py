"""`find_images`: which source reads what was named, under which root, all of it in order."""

from __future__ import annotations

import glob
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from featx.errors import ImagesNotFound, InvalidValue, join_names
from featx.images.roots import Root, is_url
from featx.images.sources.frames import check_frame, choose_frames
from featx.images.sources.items import (
    IMAGE_SUFFIXES,
    ImageItem,
    ImageSet,
    Listing,
    ReadsInOrder,
    is_utf8,
    natural_key,
)
from featx.images.sources.manifests import read_list, read_manifest
from featx.images.sources.overlooked import describe_archives
from featx.images.sources.request import SourceRequest, Table, make_exclusion

IMAGE_SOURCES = ("remote", "manifests", "arrays", "tars", "zips", "folders")
"""Modules of this package, asked in this order whether they read a location. Each has
``matches(location)`` and ``list_images(request)``, and ``HAS_SPLITS`` where ``--split`` means
something; what is no folder of files is one of `_CONTAINERS` as well."""

_CONTAINERS = frozenset({"arrays", "tars", "zips"})
"""Sources that are one file with many images: it counts as their folder."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A path, glob match or URL that was named, and what lists it.

    Attributes:
        path: Absolute path or URL.
        source: Which of `IMAGE_SOURCES` lists it.
        anchor: The folder whose common parent with those of others is the root.
        shown: The path as it was given.
        is_match: Whether a glob found it.
        table: See `SourceRequest`.
    """

    path: str
    source: str
    anchor: str
    shown: str
    is_match: bool = False
    table: Table | None = None

    @property
    def is_container(self) -> bool:
        return self.source in _CONTAINERS


def find_images(
    paths: str | Path | Sequence[str | Path] = (),
    *,
    exclude: Sequence[str] = (),
    image_list: str | Path | None = None,
    split: str | None = None,
    frame: int | str | None = None,
) -> ImageSet:
    """List images in folders (recursively), files, archives, arrays and tables, in natural order.

    Hidden files and folders (a leading dot, macOS ``._`` files too) are skipped.
    Links to folders are followed, each folder once: under its own name where it has one
    below the path, else under the first link to it.

    Args:
        paths: What to list: a folder, a file, a glob, a ``.tar`` or ``.zip`` archive, a manifest
            (``.csv``, ``.tsv``, ``.parquet``), arrays (``.npy``, ``.npz``), a URL, or several. One
            folder or archive is the root itself; the root of one file is its folder, of a glob
            the folder before its first wildcard; several share their closest common folder.
        exclude: Globs; see `featx.images.sources.request.make_exclusion`.
        image_list: A text file with one path in each line, ``-`` for the standard input.
        split: Only this split of manifests and arrays.
        frame: Of animations and files of several pages, this frame (from 0), or ``all``; when None
            the first, under the file's own key.

    Returns:
        The images; what could not be listed is in `failures`.

    Raises:
        ImagesNotFound: If a path does not exist, or there is no image in any of them.
        InvalidValue: If options or sources do not go together.

    Example:
        >>> find_images(["no/such/folder"])
        Traceback (most recent call last):
        ...
        featx.errors.ImagesNotFound: There is no file or folder 'no/such/folder'. ...
    """
    frame = check_frame(frame)
    if isinstance(paths, (str, Path)):
        paths = [paths]
    named = _resolve_all([str(path) for path in paths])
    if image_list is not None:
        named.append(_name_list(str(image_list)))
    if not named:
        if paths:  # Globs that match files, none of which is named like an image.
            _refuse_nothing(paths, None, has_exclusions=False)
        raise ImagesNotFound("No images were given. Name at least one folder or file.")
    _check_split(named, split)
    if any(one.source == "remote" for one in named):
        root = _common_url(named)
    else:
        root = _common_root(named)
    if not is_utf8(root):
        raise ImagesNotFound(
            f"The name of the folder {os.fsencode(root)!r} is not valid UTF-8: it cannot be "
            "recorded in a store. Rename it."
        )

    parsed = Root.parse(root)
    total = Listing()
    covered: dict[str, bool] = {}
    archives: list[str] = []
    given = {one.path for one in named}
    is_excluded = make_exclusion(exclude)
    for one in named:
        prefix = _prefix(one, root)
        module = importlib.import_module(f"{__package__}.{one.source}")
        listing: Listing = module.list_images(
            SourceRequest(one.path, parsed, prefix, is_excluded, split, one.table)
        )
        if is_excluded is not None:
            excluded = {item.key for item in listing.items if is_excluded(item.key)}
            listing.items = [item for item in listing.items if item.key not in excluded]
            listing.failures = [f for f in listing.failures if not is_excluded(f.key)]
            listing.left_out |= excluded
        if one.is_container or one.source == "remote":
            covered[prefix] = listing.is_complete and covered.get(prefix, True)
            total.left_out |= listing.left_out
        overlooked = [os.path.join(root, key) for key in listing.archives]
        overlooked = [path for path in overlooked if path not in given]
        if overlooked:
            given.update(overlooked)  # They are named once.
            names = [os.path.relpath(path, one.path) for path in overlooked]
            has_images = bool(listing.items or listing.failures)
            archives.append(describe_archives(names, one.shown, has_images=has_images))
        total.items += listing.items
        total.failures += listing.failures
        total.notes += listing.notes
    items = total.items
    if not parsed.is_on_disk and len(named) > 1:
        _check_addresses(named, items)
    if len(named) > 1 or named[0].table is not None:
        # They may overlap: what is given twice is found once.
        items = list({item.key: item for item in items}.values())
    items = choose_frames(items, frame, total)
    _sort(items)
    failures = sorted(total.failures, key=lambda f: (natural_key(f.key), f.reason))
    if not items and not failures:
        if archives:
            raise ImagesNotFound(" ".join(archives))
        _refuse_nothing(paths, image_list, has_exclusions=bool(exclude))
    return ImageSet(
        root=parsed,
        items=tuple(items),
        failures=tuple({failure.key: failure for failure in failures}.values()),
        notes=tuple(dict.fromkeys(total.notes + archives)),
        covered=covered,
        left_out=frozenset(total.left_out),
    )


def _check_addresses(named: Sequence[_Named], items: Sequence[ImageItem]) -> None:
    """Refuse addresses that differ only in what is not recorded (a query, a signature)."""
    addresses = {one.path for one in named}
    if len({item.key for item in items}) < len(items) and len(addresses) == len(items):
        raise InvalidValue(
            "Several addresses differ only behind the '?', and their images would have one name. "
            "Download them, or give each from Python: featx.extract([(key, image), ...])."
        )


def _sort(items: list[ImageItem]) -> None:
    """Put items in natural order, except in archives that can only be read from the beginning."""
    readers: dict[int, object] = {id(item.reader): item.reader for item in items}
    ordered = {
        number: reader for number, reader in readers.items() if isinstance(reader, ReadsInOrder)
    }
    if not ordered:  # A million tuples less.
        items.sort(key=lambda item: natural_key(item.key))
        return

    def order(item: ImageItem) -> tuple[str, int]:
        reader = ordered.get(id(item.reader))
        if reader is None:
            return natural_key(item.key), 0
        return natural_key(reader.prefix), reader.position(item)

    items.sort(key=order)


def _resolve_all(paths: Sequence[str]) -> list[_Named]:
    """Return what paths, globs and URLs name; one that names nothing may be mistyped.

    Raises:
        ImagesNotFound: If some name nothing; it names all of these.
    """
    named: list[_Named] = []
    missing: list[str] = []
    unmatched: list[str] = []
    for path in paths:
        if is_url(path):
            named.append(_Named(path, "remote", path, path))
        elif os.path.lexists(path):
            named.append(_name_path(path))
        elif not glob.has_magic(path):
            missing.append(path)
        elif found := sorted(glob.iglob(path, recursive=True)):
            named += _name_matches(path, found)
        else:
            unmatched.append(path)
    problems = []
    if missing:
        problems.append(f"There is no file or folder {join_names([repr(p) for p in missing])}.")
    if unmatched:
        problems.append(f"Nothing matches {join_names([repr(p) for p in unmatched])}.")
    if problems:
        looked = f"featx looked from the folder {os.getcwd()!r}."
        raise ImagesNotFound(" ".join([*problems, looked]))
    return named


def _name_matches(path: str, found: list[str]) -> list[_Named]:
    """Return those of the files and folders that a glob has found which may hold images."""
    fixed = path
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)
    anchor = os.path.abspath(fixed or ".")
    if os.path.basename(path) == "**":  # Folders that lie in another one that is listed anyway.
        found = [match for match in found if not os.path.isdir(match)]
    return [
        replace(one, anchor=anchor, is_match=True)
        for one in map(_name_path, found)
        if os.path.isdir(one.path) or one.source != "folders" or _is_wanted(one.path)
    ]


def _is_wanted(path: str) -> bool:
    """Whether a file that a glob found is an image: not every one that is there."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def _name_path(path: str) -> _Named:
    absolute = os.path.abspath(path)
    if os.path.isdir(absolute):
        return _Named(absolute, "folders", absolute, path)
    source = next(
        name
        for name in IMAGE_SOURCES
        if importlib.import_module(f"{__package__}.{name}").matches(absolute)
    )
    table = read_manifest(absolute) if source == "manifests" else None
    return _Named(absolute, source, os.path.dirname(absolute), path, table=table)


def _name_list(path: str) -> _Named:
    if path != "-" and not os.path.exists(path):
        raise ImagesNotFound(
            f"There is no list of images {path!r}. It is a text file with one path in each line; "
            "--image-list - reads the standard input."
        )
    table = read_list(path)
    return _Named(path, "manifests", table.folder, path, table=table)


def _check_split(named: Sequence[_Named], split: str | None) -> None:
    if split is None:
        return
    for one in named:
        module = importlib.import_module(f"{__package__}.{one.source}")
        is_list = one.table is not None and one.table.is_list
        if is_list or not getattr(module, "HAS_SPLITS", False):
            raise InvalidValue(
                f"--split {split} picks rows of a manifest or an array file (.csv, .parquet, "
                f".npz). Received: {one.path!r}, which has no splits; "
                "name the folder of the split instead."
            )


def _common_root(named: Sequence[_Named]) -> str:
    if len(named) == 1 and named[0].is_container and not named[0].is_match:
        return named[0].path
    folders = {one.anchor for one in named}
    folders.update(*(one.table.outside for one in named if one.table is not None))
    return os.path.commonpath(sorted(folders))


def _common_url(named: Sequence[_Named]) -> str:
    from featx.images.sources.remote import common_root

    local = [one.path for one in named if one.source != "remote"]
    if local:
        raise InvalidValue(
            f"Local images and URLs go into separate stores. Received: {local[0]!r} beside a URL."
        )
    return common_root([one.path for one in named])


def _prefix(one: _Named, root: str) -> str:
    if not one.is_container or one.path == root:
        return ""
    return os.path.relpath(one.path, root).replace(os.sep, "/") + "/"


def _refuse_nothing(
    paths: Sequence[str | Path], image_list: str | Path | None, *, has_exclusions: bool
) -> NoReturn:
    given = [*paths, *([] if image_list is None else [image_list])]
    where = ", ".join(repr(str(path)) for path in given)
    left = ", and --exclude leaves nothing over" if has_exclusions else ""
    raise ImagesNotFound(
        f"There are no images in {where}{left}. featx looked for files ending in "
        f"{' '.join(sorted(IMAGE_SUFFIXES))}, in all folders below."
    )
