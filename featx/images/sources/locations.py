"""Reading an image by its location: in a folder, inside an archive, at a URL."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from featx.errors import FeatxError, ImageError, ImagesNotFound
from featx.images.roots import Root, is_url
from featx.images.sources.finding import find_images
from featx.images.sources.items import ImageItem
from featx.images.sources.keys import check_inside, check_path
from featx.images.sources.kinds import find_source
from featx.wording import option


@dataclass(frozen=True, slots=True)
class _Container:
    """The listing of an archive, of arrays, or of a file with several frames.

    Attributes:
        items: Key → item.
        failures: Key → why an image cannot be read.
        problem: Why the listing is incomplete; None if it is complete.
    """

    items: dict[str, ImageItem] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    problem: str | None = None


class LocationReader:
    """Reads images by the locations that items, matches and predictions name.

    An archive is listed once, when the first of its members is asked for.

    Args:
        allow_download: Also read what is at URLs. Locations that a file records, which may come
            from anybody, are not fetched unasked.

    Example:
        >>> from featx.testing import write_images
        >>> reader = LocationReader()
        >>> len(reader.read(str(write_images(1) / "image_0.png"))) > 0
        True
    """

    def __init__(self, *, allow_download: bool = False) -> None:
        self._allow_download = allow_download
        self._listed: dict[str, _Container] = {}
        self._lock = threading.Lock()

    def read_key(self, root: Root, key: str) -> bytes:
        """Return the bytes of an image that a store or an index names.

        Raises:
            FileNotFoundError: If there certainly is no such image.
            OSError: If it cannot be read, or may or may not exist.
            ImageError: If this image is damaged or not supported, or is not below its root.
        """
        if root.is_in_memory:
            raise OSError("it was passed in Python: it is in no file")
        check_inside(key)
        return self.read(root.location(key))

    def read(self, location: str | Path) -> bytes:
        """Return the image's bytes.

        Raises:
            FileNotFoundError: If there certainly is no such image.
            OSError: If it cannot be read, or may or may not exist.
            ImageError: If this image is damaged or not supported.
        """
        text = str(location)
        if is_url(text):
            if not self._allow_download:
                raise OSError(f"it is at a URL: {option('allow_download', True)} fetches it")
            archive = _find_archive(text)
            if archive is not None:
                return self._member(archive, text[len(archive) + 1 :])
            return _read_url(text)
        check_path(text)
        try:
            status = os.stat(text)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(text):  # Perhaps to a disk that is not mounted.
                raise OSError("a link to something that is not there") from None
            return self._read_inside(text)
        if stat.S_ISREG(status.st_mode):
            return Path(text).read_bytes()
        if stat.S_ISDIR(status.st_mode):
            _refuse_absent()
        raise OSError("not a regular file")  # Opening a named pipe would wait for ever.

    def _read_inside(self, text: str) -> bytes:
        """Read what has no path of its own: a frame of a file, or a member of an archive."""
        file, _, number = text.rpartition("#")
        if number.isdigit() and os.path.isfile(file):
            return self._member(file, f"{os.path.basename(file)}#{number}")
        container = next((p for p in Path(text).parents if p.is_file()), None)
        if container is None:
            _refuse_absent()
        return self._member(str(container), Path(text).relative_to(container).as_posix())

    def _member(self, path: str, key: str) -> bytes:
        file, _, number = key.rpartition("#")
        is_frame = number.isdigit() and bool(file)
        name = f"{path}#" if is_frame else path
        with self._lock:
            if name not in self._listed:
                # For a frame, a#3, all frames are listed.
                self._listed[name] = _list_container(path, "all" if is_frame else None)
        container = self._listed[name]
        if key in container.items:
            return container.items[key].read_bytes()
        reason = container.failures.get(key) or (container.failures.get(file) if is_frame else None)
        if reason is not None:
            raise ImageError(reason)
        if is_frame and file in container.items:
            _check_opens(container.items[file])
        if container.problem is not None:
            raise OSError(container.problem)
        _refuse_absent()


def _refuse_absent() -> NoReturn:
    raise FileNotFoundError("there is no such file")


def _find_archive(url: str) -> str | None:
    """Return the archive that a URL leads into, by its name; None if it leads into none."""
    pieces = url.split("/")
    beginnings = ("/".join(pieces[:count]) for count in range(4, len(pieces)))
    return next((each for each in beginnings if find_source(each).is_container), None)


def _read_url(url: str) -> bytes:
    # fsspec takes what follows "::" for another address: a key may hold one.
    if "::" in url.partition("://")[2]:
        raise OSError("its name is no part of a URL")
    try:
        items = find_images(url).items
    except ImagesNotFound as error:
        if error.__cause__ is None or isinstance(error.__cause__, FileNotFoundError):
            raise
        raise OSError(str(error)) from error  # It may or may not exist.
    except FeatxError as error:
        raise OSError(str(error)) from error
    if len(items) != 1:
        _refuse_absent()
    return items[0].read_bytes()


def _list_container(path: str, frame: str | None) -> _Container:
    try:
        found = find_images(path, frame=frame)
    except ImagesNotFound:
        return _Container()
    except FeatxError as error:
        return _Container(problem=str(error))
    failures = {failure.key: failure.reason for failure in found.failures}
    problem = None
    if not all(found.covered.values()):
        problem = failures.get(os.path.basename(path), "it could not be read to its end")
    return _Container({item.key: item for item in found.items}, failures, problem)


def _check_opens(item: ImageItem) -> None:
    """Raise the error of a file whose frames cannot even be counted."""
    from featx.images.animations import take_frame

    take_frame(item.read_bytes(), 0, lambda picture, orientation: b"")
