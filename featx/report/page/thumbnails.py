"""Small copies of pictures inside a page: made once, and kept in the user's cache."""

from __future__ import annotations

import base64
import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from featx.atomic import replace_file
from featx.errors import ImageError
from featx.files import hash_content
from featx.images.decode import decode_image
from featx.images.formats import open_picture
from featx.images.roots import Root, is_url
from featx.images.sources.locations import LocationReader
from featx.input_spec import InputSpec
from featx.report.page.document import Page, write_page
from featx.user_cache import user_cache_folder

SIDE = 160
"""Longer side of a thumbnail, in pixels."""

QUALITY = 80
"""Of the JPEG, as Pillow counts: 4 to 10 kB each."""

MAX_FILES = 20_000
MAX_BYTES = 128 * 2**20
"""How much the cache may hold. Above, those that were not used for longest are deleted."""

BOUNDED_AFTER = 1_000
"""New files after which the cache is looked through, by who makes thumbnails for long."""

MAX_FILE_BYTES = 64 * 1024
"""Larger files in the cache are not thumbnails: one of `SIDE` pixels takes 30 kB at the most."""

CHANGED = "changed since its features were computed"
"""Why a picture is not shown."""

FOLDER = "thumbnails"
_JPEG = b"\xff\xd8\xff"


class Thumbnails:
    """Gives thumbnails as ``data:`` addresses, and says why there is none.

    A thumbnail is known by the content of its picture, so it is shown even when the picture is
    gone, and never when the picture is another one now. Nothing is fetched from the network.

    Args:
        reader: Reads the pictures; one of its own when None.

    Example:
        >>> from featx.testing import write_images
        >>> with Thumbnails() as thumbnails:
        ...     address = thumbnails.get(str(write_images(1) / "image_0.png"))
        >>> address[:23]
        'data:image/jpeg;base64,'
    """

    def __init__(self, reader: LocationReader | None = None) -> None:
        self._reader = reader or LocationReader()
        self._num_written = 0

    def __enter__(self) -> Thumbnails:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete what is too much in the cache, if something was added."""
        if self._num_written:
            with contextlib.suppress(OSError):
                _keep_bounded(user_cache_folder() / FOLDER)

    def get(
        self, location: str, content_hash: bytes | None = None, root: Root | None = None
    ) -> str:
        """Return a thumbnail's address; see `read`."""
        data = self.read(location, content_hash, root)
        return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")

    def read(
        self, location: str, content_hash: bytes | None = None, root: Root | None = None
    ) -> bytes:
        """Return a thumbnail, a JPEG of at most `SIDE` pixels on its longer side.

        Args:
            location: Where the picture is; with a root, its key.
            content_hash: BLAKE2b-128 of its bytes, if that is known.
            root: What a store or an index says that the key is relative to; a key that leads out of
                it is refused.

        Raises:
            ImageError: If there is none: the picture is missing, changed, damaged, or at a URL.
        """
        known = None if content_hash is None else self._read_cached(content_hash)
        if known is None:
            data = self._read(location, root)
            found = hash_content(data)
            if content_hash is not None and found != content_hash:
                raise ImageError(CHANGED)
            known = self._read_cached(found) or self._make(found, data)
        return known

    def _read(self, location: str, root: Root | None) -> bytes:
        if is_url(location if root is None else root.location(location)):
            raise ImageError("at a URL: not fetched")
        try:
            if root is None:
                return self._reader.read(location)
            return self._reader.read_key(root, location)
        except FileNotFoundError:
            raise ImageError("not there any more") from None
        except OSError as error:
            raise ImageError(error.strerror or str(error)) from error

    def _make(self, content_hash: bytes, picture: bytes) -> bytes:
        data = make_thumbnail(picture)
        with contextlib.suppress(OSError):
            path = _path_of(content_hash)
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path) as temporary:
                temporary.write_bytes(data)
            self._num_written += 1
            if self._num_written % BOUNDED_AFTER == 0:
                _keep_bounded(path.parent)
        return data

    def _read_cached(self, content_hash: bytes) -> bytes | None:
        with contextlib.suppress(OSError):
            path = _path_of(content_hash)
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
            if data.startswith(_JPEG) and len(data) <= MAX_FILE_BYTES:
                os.utime(path)
                return data
        return None


def write_pictured_page(make: Callable[[Thumbnails], Page], path: str | Path) -> None:
    """Write a page that shows pictures.

    Args:
        make: Makes the page with thumbnails.
        path: The HTML file. A page of featx is replaced, anything else left alone.

    Raises:
        InvalidValue: If the path cannot be that of a page; see
            `featx.report.page.check_page_path`.
    """
    with Thumbnails() as thumbnails:
        page = make(thumbnails)
    write_page(page, Path(path))


def make_thumbnail(data: bytes) -> bytes:
    """Return a small JPEG of a picture, as upright and as opaque as networks get it.

    Args:
        data: The picture's bytes.

    Raises:
        ImageError: If it cannot be decoded.
    """
    pixels = decode_image(data, InputSpec(*_fit(data), resize="stretch", interpolation="box"))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _fit(data: bytes) -> tuple[int, int]:
    """Return height and width of a thumbnail; square for what cannot be opened."""
    try:
        with open_picture(data) as image:
            width, height = image.size
            if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # Orientations on their side.
                width, height = height, width
    except Exception:  # Decoding reports what is wrong with it.
        return SIDE, SIDE
    scale = SIDE / max(width, height, 1)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _path_of(content_hash: bytes) -> Path:
    return user_cache_folder() / FOLDER / f"{content_hash.hex()}-{SIDE}.jpg"


def _keep_bounded(folder: Path) -> None:
    """Delete the thumbnails that were not used for longest, if there are too many."""
    files = sorted(_list_files(folder), reverse=True)
    total = 0
    for number, (_, size, path) in enumerate(files, start=1):
        total += size
        if number > MAX_FILES or total > MAX_BYTES:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _list_files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Yield the time of use, the size and the path of each thumbnail."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # Another process may have deleted it.
                status = entry.stat()
                yield status.st_mtime, status.st_size, entry.path
