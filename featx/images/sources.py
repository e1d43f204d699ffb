"""Finding images: which files, in which order, under which key, with which label."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from featx.errors import ImagesNotFound

SHEET_MARK = "featx-sheet"
"""Keyword of the text with which a contact sheet of featx begins: it is no photograph."""

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .dib .webp .tif .tiff .ppm .pgm .pbm .pnm "
    ".avif .heic .heif .jp2 .tga".split()
)
"""File name endings that are taken for images inside a folder (a file named
explicitly is taken whatever its ending)."""


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image to read.

    There may be millions: all items share one `root`, and those of a class one `label`.

    Attributes:
        key: Path relative to the root, with ``/``: the image's name in a store.
        root: The folder that the key is relative to.
        label: The first folder below the root, or None for an image in the root itself.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the file, in nanoseconds since the epoch.
    """

    key: str
    root: str
    label: str | None
    size: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        """Where the image lies."""
        return Path(self.root, self.key)


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """One image that could not be used, and why; size and time as in `ImageItem`."""

    key: str
    reason: str
    size: int
    mtime_ns: int

    @property
    def is_passing(self) -> bool:
        """Whether it says nothing about the image: the file could not be read just then.

        Such an image keeps the features it has, and is tried again every time.
        """
        return self.mtime_ns < 0


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images found below one root, in natural order of their keys.

    Attributes:
        root: The folder that keys are relative to.
        items: The images.
        failures: Files and folders that could not even be listed.
    """

    root: Path
    items: tuple[ImageItem, ...]
    failures: tuple[ImageFailure, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, in natural order."""
        return tuple(sorted({i.label for i in self.items if i.label is not None}, key=natural_key))


def label_of(key: str) -> str | None:
    """Return the first folder of a key, or None for an image in the root itself.

    Example:
        >>> label_of("cats/1.jpg"), label_of("1.jpg")
        ('cats', None)
    """
    # Interned: a million images share a thousand labels.
    return sys.intern(key.split("/", 1)[0]) if "/" in key else None


def natural_key(name: str) -> str:
    """Sort key under which ``2.jpg`` comes before ``10.jpg``, folder by folder.

    Names that differ only in leading zeros follow in the order of their text.

    Example:
        >>> sorted(["b/10.jpg", "b/2.jpg", "a/3.jpg"], key=natural_key)
        ['a/3.jpg', 'b/2.jpg', 'b/10.jpg']
    """
    # One string, compared and kept at a fraction of what nested tuples cost. Characters below
    # all others make its order: the end of the name < the end of a folder < a number < text.
    return f"{_SPECIAL.sub(_replace_special, name)}\0{name}"


_SPECIAL = re.compile(r"[0-9]+|[/\0-\3]")


def _replace_special(match: re.Match[str]) -> str:
    text = match[0]
    if text == "/":
        return "\1"
    if text <= "\3":  # Text that looks like one of our marks: put behind them, in its order.
        return f"\3{text}"
    digits = text.lstrip("0")
    return f"\2{chr(len(digits))}{digits}"  # Of two numbers the longer is the larger.


def find_images(paths: str | Path | Sequence[str | Path]) -> ImageSet:
    """List images in folders (recursively) and single files, in natural order.

    Hidden files and folders (a leading dot, macOS ``._`` files too) are skipped.
    Links to folders are followed, each folder once: under its own name where it has one
    below the path, else under the first link to it.

    Args:
        paths: A folder, a file, or several. One folder is the root itself; the root of one file is
            its folder; several paths share their closest common folder.

    Returns:
        The images; what could not be listed is in `failures`.

    Raises:
        ImagesNotFound: If a path does not exist, or there is no image in any of them.

    Example:
        >>> find_images(["no/such/folder"])
        Traceback (most recent call last):
        ...
        featx.errors.ImagesNotFound: There is no file or folder 'no/such/folder'. ...
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    places = []
    for path in paths:
        if not os.path.lexists(path):
            raise ImagesNotFound(
                f"There is no file or folder {str(path)!r}. "
                f"featx looked from the folder {os.getcwd()!r}."
            )
        place = os.path.abspath(path)
        places.append((place, os.path.isdir(place)))
    if not places:
        raise ImagesNotFound("No images were given. Name at least one folder or file.")
    folders = {place if is_folder else os.path.dirname(place) for place, is_folder in places}
    root = os.path.commonpath(sorted(folders))
    if not _is_utf8(root):
        raise ImagesNotFound(
            f"The name of the folder {os.fsencode(root)!r} is not valid UTF-8: it cannot be "
            "recorded in a store. Rename it."
        )

    items: list[ImageItem] = []
    failures: list[ImageFailure] = []
    for place, is_folder in places:
        # A file always lies at root/key: links are followed, but never resolved.
        key = os.path.relpath(place, root).replace(os.sep, "/")
        one = partial(os.stat, place)
        for found in _walk(root, key) if is_folder else [_make_item(root, key, one)]:
            if isinstance(found, ImageItem):
                items.append(found)
            else:
                failures.append(found)
    if len(places) > 1:  # They may overlap: what is given twice is found once.
        items = list({item.key: item for item in items}.values())
    items.sort(key=lambda item: natural_key(item.key))
    failures.sort(key=lambda failure: (natural_key(failure.key), failure.reason))
    if not items and not failures:
        where = ", ".join(repr(str(path)) for path in paths)
        raise ImagesNotFound(
            f"There are no images in {where}. featx looked for files ending in "
            f"{' '.join(sorted(IMAGE_SUFFIXES))}, in all folders below."
        )
    return ImageSet(
        root=Path(root),
        items=tuple(items),
        failures=tuple({failure.key: failure for failure in failures}.values()),
    )


def _walk(root: str, key: str) -> Iterator[ImageItem | ImageFailure]:
    """Yield what lies below one folder, in no order; a folder that cannot be listed is a failure.

    Folders reached through links come last, and all in the order of their names: which name
    a folder gets must not depend on the order in which the file system lists it.
    """
    seen: set[tuple[int, int]] = set()
    pending = [key]
    linked: deque[str] = deque()
    while pending or linked:
        current = pending.pop() if pending else linked.popleft()
        prefix = "" if current == "." else f"{current}/"
        found: list[ImageItem | ImageFailure] = []
        folders: list[str] = []
        links: list[str] = []
        try:
            place = os.path.join(root, current)
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                continue  # A link back up would otherwise be followed for ever.
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as listing:
                # Not all at once: one folder may have a million entries.
                for entry in listing:
                    if entry.name.startswith("."):
                        continue
                    name = prefix + entry.name
                    try:
                        is_folder = entry.is_dir()
                    except OSError as error:  # A link to itself, or to where we may not look.
                        found.append(_make_failure(name, error))
                        continue
                    if is_folder:
                        (links if entry.is_symlink() else folders).append(name)
                    elif _is_picture(entry):
                        # The entry of a link remembers what is_dir() found behind it.
                        found.append(_make_item(root, name, entry.stat))
        except OSError as error:
            yield _make_failure(current, error)
            continue
        yield from found
        pending.extend(sorted(folders, reverse=True))
        linked.extend(sorted(links))


def is_sheet(path: str | Path) -> bool:
    """Whether a file is a contact sheet that featx drew; False if it cannot be read."""
    try:
        # Without a buffer: two system calls fewer for each PNG that is listed.
        with open(path, "rb", buffering=0) as file:
            head = file.read(64)
    except OSError:
        return False
    # The mark is the first chunk behind the signature (8 bytes) and the header chunk (25).
    return head[37:41] == b"tEXt" and head[41:].startswith(SHEET_MARK.encode() + b"\0")


def _is_picture(entry: os.DirEntry[str]) -> bool:
    """Whether a file is named like a picture, and is not a contact sheet that featx drew."""
    suffix = os.path.splitext(entry.name)[1].lower()
    # The only look into a file while listing. A million PNG take up to twice as long as a million
    # JPEG when the system holds them in memory, and several times as long from a disk. Their size
    # cannot spare it: a sheet may be as small or as large as a photograph.
    if suffix == ".png" and entry.is_file() and is_sheet(entry.path):
        return False
    return suffix in IMAGE_SUFFIXES


def _make_item(
    root: str, key: str, get_status: Callable[[], os.stat_result]
) -> ImageItem | ImageFailure:
    """Return the item for one file, or why it cannot be one."""
    if not _is_utf8(key):
        return _make_failure(key, "not UTF-8")
    try:
        status = get_status()
    except OSError as error:
        return _make_failure(key, error)
    if not stat.S_ISREG(status.st_mode):
        # Opening a named pipe would wait for ever.
        return _make_failure(key, "not a regular file")
    return ImageItem(key, root, label_of(key), status.st_size, status.st_mtime_ns)


def _make_failure(key: str, reason: str | OSError) -> ImageFailure:
    """Return the failure of one file or folder; a name that is not UTF-8 is the first reason."""
    if not _is_utf8(key):
        key = os.fsencode(key).decode("utf-8", "backslashreplace")
        reason = "its name is not valid UTF-8: rename it"
    elif isinstance(reason, OSError):
        reason = reason.strerror or str(reason)
    return ImageFailure(key, reason, -1, -1)


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
