"""Finding images: which files, in which order, under which key, with which label."""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

    Attributes:
        key: Path relative to the root, with ``/``: the image's name in a store.
        path: Where it lies.
        label: The first folder below the root, or None for an image in the root itself.
        size: Size of the file in bytes.
        mtime_ns: Modification time of the file, in nanoseconds since the epoch.
    """

    key: str
    path: Path
    label: str | None
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """One image that could not be used, and why; size and time as in `ImageItem`."""

    key: str
    reason: str
    size: int
    mtime_ns: int


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
    return key.split("/", 1)[0] if "/" in key else None


def natural_key(name: str) -> tuple[object, ...]:
    """Sort key under which ``2.jpg`` comes before ``10.jpg``, folder by folder.

    Example:
        >>> sorted(["b/10.jpg", "b/2.jpg", "a/3.jpg"], key=natural_key)
        ['a/3.jpg', 'b/2.jpg', 'b/10.jpg']
    """
    parts = tuple(
        tuple(
            int(piece) if index % 2 else piece
            for index, piece in enumerate(re.split(r"([0-9]+)", part))
        )
        for part in name.split("/")
    )
    return (parts, name)


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
    absolute = []
    for path in paths:
        if not os.path.lexists(path):
            raise ImagesNotFound(
                f"There is no file or folder {str(path)!r}. "
                f"featx looked from the folder {os.getcwd()!r}."
            )
        absolute.append(Path(os.path.abspath(path)))
    folders = [path if path.is_dir() else path.parent for path in absolute]
    if not folders:
        raise ImagesNotFound("No images were given. Name at least one folder or file.")
    root = Path(os.path.commonpath(folders))
    if any("\udc80" <= char <= "\udcff" for char in str(root)):
        raise ImagesNotFound(
            f"The name of the folder {os.fsencode(root)!r} is not valid UTF-8: it cannot be "
            "recorded in a store. Rename it."
        )

    items: dict[str, ImageItem] = {}
    failures: dict[str, ImageFailure] = {}
    for path in absolute:
        found = _walk(path) if path.is_dir() else iter([(path, None)])
        for file, error in found:
            key = file.relative_to(root).as_posix()
            try:
                key.encode("utf-8")
            except UnicodeEncodeError:
                shown = os.fsencode(key).decode("utf-8", "backslashreplace")
                reason = "its name is not valid UTF-8: rename it"
                failures[shown] = ImageFailure(shown, reason, -1, -1)
                continue
            item = error or _stat_item(file, key)
            if isinstance(item, ImageItem):
                items[key] = item
            else:
                reason = item if isinstance(item, str) else item.strerror or str(item)
                failures[key] = ImageFailure(key, reason, -1, -1)
    if not items and not failures:
        places = ", ".join(repr(str(path)) for path in paths)
        raise ImagesNotFound(
            f"There are no images in {places}. featx looked for files ending in "
            f"{' '.join(sorted(IMAGE_SUFFIXES))}, in all folders below."
        )
    return ImageSet(
        root=root,
        items=tuple(items[key] for key in sorted(items, key=natural_key)),
        failures=tuple(failures[key] for key in sorted(failures, key=natural_key)),
    )


def _walk(folder: Path) -> Iterator[tuple[Path, OSError | None]]:
    """Yield each image file below `folder`, and each folder that could not be listed.

    Folders reached through links come last, and all in the order of their names: which name
    a folder gets must not depend on the order in which the file system lists it.
    """
    seen: set[tuple[int, int]] = set()
    pending = [folder]
    linked: deque[Path] = deque()
    while pending or linked:
        current = pending.pop() if pending else linked.popleft()
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue  # A link back up would otherwise be followed for ever.
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield current, error
            continue
        folders: list[Path] = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder = entry.is_dir()
            except OSError as error:  # A link to itself, or to where we may not look.
                yield Path(entry.path), error
                continue
            if is_folder:
                (linked if entry.is_symlink() else folders).append(Path(entry.path))
            elif _is_picture(entry):
                yield Path(entry.path), None
        pending.extend(reversed(folders))


def is_sheet(path: str | Path) -> bool:
    """Whether a file is a contact sheet that featx drew; False if it cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError:
        return False
    # The mark is the first chunk behind the signature (8 bytes) and the header chunk (25).
    return head[37:41] == b"tEXt" and head[41:].startswith(SHEET_MARK.encode() + b"\0")


def _is_picture(entry: os.DirEntry[str]) -> bool:
    """Whether a file is named like a picture, and is not a contact sheet that featx drew."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix == ".png" and entry.is_file() and is_sheet(entry.path):
        return False
    return suffix in IMAGE_SUFFIXES


def _stat_item(file: Path, key: str) -> ImageItem | str:
    """Return the item for one file, or why it cannot be one."""
    try:
        status = file.stat()
    except OSError as error:
        return error.strerror or str(error)
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"  # Opening a named pipe would wait for ever.
    return ImageItem(key, file, label_of(key), status.st_size, status.st_mtime_ns)
