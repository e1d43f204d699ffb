"""Images in folders and single files: a key is the path below the root."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from featx.images.roots import Root, is_url
from featx.images.sources.endings import IMAGE_SUFFIXES
from featx.images.sources.items import ImageFailure, ImageItem, Listing, make_failure
from featx.images.sources.keys import ending_of, is_hidden, is_utf8, label_of
from featx.images.sources.kinds import ImageSource
from featx.images.sources.overlooked import describe_links, is_archive, is_below
from featx.images.sources.request import IsExcluded, IsStored, SourceRequest

SHEET_MARK = "featx-sheet"
"""Keyword of the text chunk that marks a contact sheet of featx, which is not a photograph."""


_READ_BYTES = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # Windows would end at a byte 26.


class FolderSource(ImageSource):
    """Folders and single files."""

    is_fallback = True

    def matches(self, location: str) -> bool:
        """Whether a location is a path."""
        return not is_url(location)

    def list_images(self, request: SourceRequest) -> Listing:
        """List one folder, recursively, or one file."""
        root, location = request.root, request.location
        # A file is always at root/key: links are followed, but never resolved.
        key = os.path.relpath(location, root.text).replace(os.sep, "/")
        listing = Listing(by_folder=True)
        found: Iterator[ImageItem | ImageFailure]
        if os.path.isdir(location):
            found = _walk(request, key, listing)
        else:
            found = iter([make_item(root, key, partial(os.stat, location))])
        for one in found:
            if isinstance(one, ImageItem):
                listing.items.append(one)
            else:
                listing.failures.append(one)
        return listing


SOURCE = FolderSource()


def _walk(request: SourceRequest, key: str, listing: Listing) -> Iterator[ImageItem | ImageFailure]:
    """Yield the images below one folder, unordered; a folder that cannot be listed is a failure.

    Archives and pictures that are not read, and links to elsewhere, are noted in `listing`.

    Folders reached through links come last, and all folders in the order of their names: the key
    of a folder must not depend on the order in which the file system lists it.
    """
    root = request.root
    seen: set[tuple[int, int]] = set()
    outside: dict[str, str] = {}
    pending = [key]
    linked: deque[str] = deque()
    while pending or linked:
        is_link = not pending
        current = linked.popleft() if is_link else pending.pop()
        found: list[ImageItem | ImageFailure] = []
        folders: list[str] = []
        links: list[str] = []
        try:
            folder = os.path.join(root.text, current)
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue  # Otherwise a link to a parent would be followed for ever.
            seen.add((status.st_dev, status.st_ino))
            if is_link and not is_below(folder, os.path.join(root.text, key)):
                outside[current] = os.path.realpath(folder)
            prefix = "" if current == "." else f"{current}/"
            for name, entry in _scan(folder, prefix, request.is_excluded):
                try:
                    is_folder = entry.is_dir()
                except OSError as error:  # A link to itself, or to something unreadable.
                    found.append(make_failure(name, error))
                    continue
                if is_folder:
                    (links if entry.is_symlink() else folders).append(name)
                elif (ending := ending_of(entry.name)) in IMAGE_SUFFIXES:
                    # The entry of a link caches what is_dir() found at its target.
                    item = make_item(root, name, entry.stat)
                    if ending != ".png" or not _is_sheet(item, entry.path, request.is_stored):
                        found.append(item)
                elif is_archive(name):
                    listing.archives.append(name)
                else:
                    listing.overlook(entry.name)
        except OSError as error:
            yield make_failure(current, error)
            continue
        yield from found
        pending.extend(sorted(folders, reverse=True))
        linked.extend(sorted(links))
    if outside:
        listing.notes.append(describe_links(outside))


def _scan(
    folder: str, prefix: str, is_excluded: IsExcluded
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the key and entry of what is in a folder, except what is hidden or excluded."""
    with os.scandir(folder) as listing:
        # Not all at once: one folder may have a million entries.
        for entry in listing:
            name = prefix + entry.name
            if not is_hidden(entry.name) and not (is_excluded and is_excluded(name)):
                yield name, entry


def is_sheet(path: str | Path) -> bool:
    """Whether a file is a contact sheet that featx drew; False if it cannot be read."""
    try:
        # Without a file object, which takes two thirds as long again: each new PNG is looked at.
        descriptor = os.open(path, _READ_BYTES)
        try:
            head = os.read(descriptor, 64)
        finally:
            os.close(descriptor)
    except OSError:
        return False
    # The mark is the first chunk after the signature (8 bytes) and the header chunk (25).
    return head[37:41] == b"tEXt" and head[41:].startswith(SHEET_MARK.encode() + b"\0")


def _is_sheet(item: ImageItem | ImageFailure, path: str, is_stored: IsStored) -> bool:
    """Whether a PNG in a folder is a contact sheet of featx."""
    # The only content that is read while listing. A million PNG files take up to twice as long as
    # a million JPEG files when cached by the system, and several times as long from a disk. Their
    # size cannot replace it: a sheet may be as small or as large as a photograph.
    is_file = isinstance(item, ImageItem)
    return is_file and not is_stored(item.key, item.size, item.mtime_ns) and is_sheet(path)


def make_item(
    root: Root, key: str, get_status: Callable[[], os.stat_result]
) -> ImageItem | ImageFailure:
    """Return the item for one file, or why it cannot be one."""
    if not is_utf8(key):
        return make_failure(key, "not UTF-8")
    try:
        status = get_status()
    except OSError as error:
        return make_failure(key, error)
    except ValueError:
        return make_failure(key, "its path holds a zero byte")
    if not stat.S_ISREG(status.st_mode):
        # Opening a named pipe would wait for ever.
        return make_failure(key, "not a regular file")
    return ImageItem(key, root, label_of(key), status.st_size, status.st_mtime_ns)
