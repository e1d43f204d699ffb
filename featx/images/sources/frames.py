"""Frames of animations and pages of documents as images of their own: ``--frame``.

Frame 3 of ``a.gif`` has the key ``a.gif#3``. Its content hash is that of its pixels, so it is never
mistaken for the file's first frame. In a PNG whose default image is not part of its animation, that
image is frame 0. Each frame keeps the camera's orientation, which is applied or ignored as that of
a whole file.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from featx.errors import ImageError, InvalidValue
from featx.images.sources.items import Divisible, ImageItem, Listing, Reader, ReadsInOrder
from featx.units import format_count
from featx.wording import option

if TYPE_CHECKING:
    from featx.images.animations import FrameTaker

_SUFFIXES = (".gif", ".png", ".apng", ".tif", ".tiff", ".webp", ".avif")
"""Endings of files that are opened to see how many frames they have."""


def check_frame(frame: int | str | None) -> int | str | None:
    """Return ``--frame`` as a number or ``all``; None for the first frame.

    Raises:
        InvalidValue: If it is something else.

    Example:
        >>> check_frame("2"), check_frame("all"), check_frame(None)
        (2, 'all', None)
    """
    if frame is None or frame == "all":
        return frame
    if isinstance(frame, int) and not isinstance(frame, bool) and frame >= 0:
        return frame
    if isinstance(frame, str) and frame.isascii() and frame.isdigit():
        return int(frame)
    raise InvalidValue(
        f"{option('frame')} takes a number, 0 for the first, or 'all'. Received: {frame!r}."
    )


def choose_frames(
    items: list[ImageItem], frame: int | str | None, listing: Listing
) -> list[ImageItem]:
    """Replace files that have several frames by these frames.

    Args:
        items: Files.
        frame: What `check_frame` returned.
        listing: Files that have fewer frames are added to its failures.
    """
    if frame is None:
        return items
    from featx.images.animations import count_frames

    readers: dict[int, FrameReader] = {}
    chosen = []
    for item in items:
        count = 1
        if os.path.splitext(item.key)[1].lower() in _SUFFIXES:
            try:
                count = count_frames(item.read_bytes())
            except (OSError, ImageError):
                count = 1  # Reported when it is read again.
        if count == 1:
            chosen.append(item)
            continue
        inner: object = item.reader
        if id(inner) not in readers:
            make = FrameReaderInOrder if isinstance(inner, ReadsInOrder) else FrameReader
            readers[id(inner)] = make(item.reader, keeps_passed=frame == "all")
        reader = readers[id(inner)]
        for number in range(count) if frame == "all" else [int(frame)]:
            key = f"{item.key}#{number}"
            if number < count:
                chosen.append(replace(item, key=key, reader=reader))
            else:
                listing.fail(
                    key, f"it has only {format_count(count, 'frame')}", item.size, item.mtime_ns
                )
    return chosen


class FrameReader:
    """Reads single frames of the files of another source.

    Args:
        inner: Reads the files; None for files on disk.
        keeps_passed: See `FrameTaker`.
    """

    def __init__(self, inner: Reader | None, *, keeps_passed: bool = False) -> None:
        self._inner = inner
        self._keeps_passed = keeps_passed
        self._lock = threading.Lock()
        self._files: OrderedDict[str, FrameTaker] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), keeps_passed=self._keeps_passed), (self._inner,)

    def of_keys(self, keys: Collection[str]) -> FrameReader:
        """Return a reader of some frames; see `Divisible`."""
        inner: object = self._inner
        some = self._inner
        if isinstance(inner, Divisible):
            some = inner.of_keys({key.rpartition("#")[0] for key in keys})
        return type(self)(some, keeps_passed=self._keeps_passed)

    def read(self, item: ImageItem) -> bytes:
        """Return one frame as a picture without compression."""
        from featx.images.animations import FrameTaker
        from featx.images.sources.pictures import encode_picture

        file, number = self._file(item)
        with self._lock:  # Frames of a file are asked for in sequence: it is read once.
            taker = self._files.get(file.key)
            if taker is None:
                taker = FrameTaker(
                    file.read_bytes(), encode_picture, keeps_passed=self._keeps_passed
                )
                self._files[file.key] = taker
                while len(self._files) > _KEPT:
                    self._files.popitem(last=False)
        return taker.take(number)

    def _file(self, item: ImageItem) -> tuple[ImageItem, int]:
        key, _, number = item.key.rpartition("#")
        file = ImageItem(key, item.root, item.label, item.size, item.mtime_ns, self._inner)
        return file, int(number)


class FrameReaderInOrder(FrameReader):
    """A `FrameReader` for files in a compressed archive; see `ReadsInOrder`."""

    def __init__(self, inner: Any, *, keeps_passed: bool = False) -> None:
        super().__init__(inner, keeps_passed=keeps_passed)
        self.prefix: str = inner.prefix
        self._position: Callable[[ImageItem], int] = inner.position

    def position(self, item: ImageItem) -> int:
        """Return the position of the file in its archive."""
        return self._position(self._file(item)[0])


_KEPT = 4
"""Files that are kept open, since their frames may be asked for next."""
