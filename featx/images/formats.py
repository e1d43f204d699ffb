"""The formats that are read, and how a picture in one of them is opened.

Only the formats in `FORMATS` are opened. Pillow knows others, some of which start programs
(EPS: Ghostscript) or allocate whatever a few bytes claim.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import struct

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from featx.errors import ImageError
from featx.host import is_own_process

FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "WEBP",
    "BMP",
    "DIB",
    "TIFF",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "PPM",
    "TGA",
)
"""Pillow's names of the formats that are read, in the order in which they are tried. TGA is last:
it has no signature. HEIF is available when pillow-heif is installed."""


class NotOpened(UnidentifiedImageError):
    """Bytes that no format takes.

    Attributes:
        format: The format that they begin like; None if they begin like none.
    """

    def __init__(self, name: str | None, text: str) -> None:
        super().__init__(text)
        self.format = name


def open_picture(data: bytes) -> Image.Image:
    """Open a picture of one of `FORMATS`, without decoding it.

    `Image.open` is not used: it compares sizes with a limit of the whole process and warns on
    stderr. featx has a limit of its own, which says how to change it.

    Raises:
        NotOpened: If it is in none of them.
        ImageError: If only the preview of a camera's raw file could be read.
    """
    refused: NotOpened | None = None
    for name in FORMATS:
        if not _is_installed(name):
            continue
        factory, accept = Image.OPEN[name]
        accepted: bool | str = False
        try:
            accepted = accept is None or accept(data[:16])
            if accepted is True:
                image = factory(io.BytesIO(data), "")
                _refuse_preview(image, data)
                return image
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            # As in Pillow: another format may begin alike.
            if accepted and accept is not None:
                refused = refused or NotOpened(name, str(error) or type(error).__name__)
        if isinstance(accepted, str):  # A format that this Pillow was built without.
            refused = refused or NotOpened(name, accepted)
    raise refused or NotOpened(None, "")


def _refuse_preview(image: Image.Image, data: bytes) -> None:
    """Refuse raw files that look like TIFF: their first page is a small picture of the real one."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    tags = image.tag_v2
    is_reduced = bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & 1) and _SUB_IFDS in tags
    if is_reduced or _DNG_VERSION in tags or data[8:10] == _CR2:
        raise ImageError(RAW)


RAW = "a camera's raw file: develop it first, or take out its preview (exiftool -b -JpgFromRaw)"

_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
"""Tags of TIFF 6.0, of its supplement 1, and of DNG."""

_CR2 = b"CR"
"""Behind the header of Canon's raw files."""


def format_of(data: bytes) -> str | None:
    """Return the format that bytes begin like; None if they begin like none of `FORMATS`."""
    for name in FORMATS:
        accept = Image.OPEN[name][1] if _is_installed(name) else None
        try:
            if accept is not None and accept(data[:16]):
                return name
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    return None


def _is_installed(name: str) -> bool:
    """Whether a format can be opened here.

    Most runs are of JPEG or PNG files, and load only what Pillow itself begins with.
    """
    _load_usual_plugins()
    if name not in Image.OPEN:
        load_plugins()
    return name in Image.OPEN


@functools.cache
def _load_usual_plugins() -> None:
    if is_own_process():  # Else Python itself prints what Pillow logs, without the file's name.
        logging.getLogger("PIL").addHandler(logging.NullHandler())
    Image.preinit()


@functools.cache
def load_plugins() -> None:
    """Load Pillow's plugins for `FORMATS`."""
    _load_usual_plugins()
    Image.init()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
