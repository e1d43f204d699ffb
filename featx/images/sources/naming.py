"""From paths, globs, URLs and lists to locations, the sources that list them, and their root."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from featx.errors import ImagesNotFound, InvalidValue, join_names
from featx.images.roots import Root, is_url, public_url
from featx.images.sources import manifests, remote
from featx.images.sources.endings import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from featx.images.sources.keys import ending_of, is_utf8
from featx.images.sources.kinds import ImageSource, find_source
from featx.images.sources.located_files import find_files
from featx.images.sources.request import Table
from featx.wording import option


@dataclass(frozen=True, slots=True)
class Named:
    """A location that was named, or that a glob matches.

    Attributes:
        location: Absolute path or URL.
        source: Lists it.
        anchor: The folder whose common parent with those of other locations is the root.
        shown: The path as it was given.
        is_match: Whether a glob found it.
        table: See `SourceRequest`.
    """

    location: str
    source: ImageSource
    anchor: str
    shown: str
    is_match: bool = False
    table: Table | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, or may be one: of a URL that is not known before it is listed."""
        return is_url(self.location) or (self.table is None and os.path.isdir(self.location))

    def prefix(self, root: Root) -> str:
        """Return the beginning of the keys of its images, as its source needs it."""
        return self.below(root) if self.source.is_container else ""

    def below(self, root: Root) -> str:
        """Return its path below the root, with ``/`` at the end; empty for the root itself."""
        if self.location == root.text:
            return ""
        if not root.is_on_disk:
            below = remote.common_root([self.location]).removeprefix(root.text).strip("/")
            return f"{below}/" if below else ""
        below = os.path.relpath(self.location, root.text).replace(os.sep, "/")
        return "" if below == "." else f"{below}/"


def resolve_names(names: Sequence[str]) -> list[Named]:
    """Return the locations that paths, globs and URLs name.

    Raises:
        ImagesNotFound: If some name nothing, perhaps because they are mistyped; it lists them all.
    """
    named: list[Named] = []
    missing: list[str] = []
    unmatched: list[str] = []
    for name in names:
        if is_url(name):
            named += _name_url(name)
        elif os.path.lexists(name):
            named.append(_name_path(name))
        elif not glob.has_magic(name):
            missing.append(name)
        elif found := sorted(glob.iglob(name, recursive=True)):
            named += _name_matches(name, found)
        else:
            unmatched.append(name)
    problems = []
    if missing:
        problems.append(f"There is no file or folder {join_names([repr(n) for n in missing])}.")
    if unmatched:
        problems.append(f"Nothing matches {join_names([repr(n) for n in unmatched])}.")
    if problems:
        looked = f"featx looked from the folder {os.getcwd()!r}."
        raise ImagesNotFound(" ".join([*problems, looked]))
    return named


def name_list(path: str) -> Named:
    """Return the location of a list of images; see `featx.images.sources.manifests.read_list`.

    Raises:
        ImagesNotFound: If there is no such file, or it names nothing.
    """
    if path != "-" and not os.path.exists(path):
        raise ImagesNotFound(
            f"There is no list of images {path!r}. It is a text file with one path in each line; "
            f"{option('image_list', '-')} reads the standard input."
        )
    table = manifests.read_list(path)
    return Named(path, manifests.SOURCE, table.folder, path, table=table)


def name_table(table: Table) -> Named:
    """Return the location of a table in memory: the closest common folder of its images."""
    folders = {os.path.dirname(path) for path, *_ in table.rows if os.path.isabs(path)}
    anchor = os.path.commonpath(folders) if folders else table.folder
    return Named(anchor, manifests.SOURCE, anchor, table.name, table=table)


def _name_url(url: str) -> list[Named]:
    """Return what a URL names; of a glob of archives or tables, each of them."""
    source = find_source(url)
    if not source.is_fallback and remote.has_wildcard(url):
        return [replace(one, is_match=True) for each in find_files(url) for one in _name_url(each)]
    table = manifests.read_manifest(url) if source is manifests.SOURCE else None
    return [Named(url, source, url if table is None else table.folder, url, table=table)]


def _name_path(path: str) -> Named:
    location = os.path.abspath(path)
    source = find_source(location)
    if os.path.isdir(location) and not source.is_container:
        return Named(location, source, location, path)
    # The folders that a table names decide the root, so it is read before anything is listed.
    table = manifests.read_manifest(location) if source is manifests.SOURCE else None
    anchor = os.path.dirname(location)
    if table is not None and is_url(table.folder):  # Its rows are URLs.
        anchor = table.folder
    return Named(location, source, anchor, path, table=table)


def _name_matches(pattern: str, found: list[str]) -> list[Named]:
    """Return those of the files and folders that a glob has found which may hold images.

    Pictures that are not read are among them, so that they can be counted.
    """
    fixed = pattern
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)
    anchor = os.path.abspath(fixed or ".")
    if os.path.basename(pattern) == "**":  # Folders inside another folder that is listed anyway.
        found = [path for path in found if not os.path.isdir(path)]
    return [
        replace(one, anchor=anchor, is_match=True)
        for one in map(_name_path, found)
        if os.path.isdir(one.location) or not one.source.is_fallback or _is_image(one.location)
    ]


def _is_image(path: str) -> bool:
    return ending_of(path) in IMAGE_SUFFIXES | UNREAD_SUFFIXES


def check_split(named: Sequence[Named], split: str | None) -> None:
    """Refuse ``--split`` where a location has no splits.

    Raises:
        InvalidValue: Names the location.
    """
    for one in named if split is not None else ():
        is_list = one.table is not None and one.table.is_list
        if is_list or not one.source.has_splits:
            raise InvalidValue(
                f"{option('split', split)} picks rows of a manifest or an array file (.csv, "
                f".parquet, .npz). Received: {one.location!r}, which has no splits; name the "
                "folder of the split instead."
            )


def check_addresses(named: Sequence[Named]) -> None:
    """Refuse tables of URLs on servers that nobody has named: a table may come from anybody.

    Raises:
        InvalidValue: Names the table and the server.
    """
    servers = {_server(one.location) for one in named if is_url(one.location)}
    for one in named:
        if one.table is None or not is_url(one.table.folder):
            continue
        if _server(one.table.folder) not in servers:
            raise InvalidValue(
                f"The images of {public_url(one.shown)!r} are at {one.table.folder!r}. Nothing is "
                "fetched because a table names it: download them first or, in extract, predict and "
                f"search, allow it with {option('allow_download', True)}."
            )


def _server(url: str) -> str:
    """Return the protocol and the host, or the bucket."""
    return "/".join(public_url(url).split("/")[:3])


def common_root(named: Sequence[Named]) -> Root:
    """Return what the keys of all images are relative to.

    Raises:
        InvalidValue: If local paths and URLs, or URLs of different servers, are mixed.
        ImagesNotFound: If its name cannot be recorded in a store.
    """
    first = named[0]
    if any(is_url(one.anchor) for one in named):
        local = [one.location for one in named if not is_url(one.anchor)]
        if local:
            raise InvalidValue(
                "Local images and URLs go into separate stores. Received: "
                f"{local[0]!r} beside a URL."
            )
        outside = [url for one in named if one.table is not None for url in one.table.outside]
        root = remote.common_root([*(one.anchor for one in named), *outside])
    elif len(named) == 1 and first.source.is_container and not first.is_match:
        root = first.location
    else:
        folders = {one.anchor for one in named}
        folders.update(*(one.table.outside for one in named if one.table is not None))
        root = os.path.commonpath(sorted(folders))
    if not is_utf8(root):
        raise ImagesNotFound(
            f"The name of the folder {os.fsencode(root)!r} is not valid UTF-8: it cannot be "
            "recorded in a store. Rename it."
        )
    return Root.parse(root)
