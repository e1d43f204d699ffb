"""The formats that are read, and how a picture in one of them is opened.

Only the formats in `FORMATS` are opened. Pillow knows others, some of which start programs
(EPS: Ghostscript) or allocate whatever a few bytes claim.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import struct

from PIL import Image, UnidentifiedImageError

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


def open_picture(data: bytes) -> Image.Image:
    """Open a picture of one of `FORMATS`, without decoding it.

    `Image.open` is not used: it compares sizes with a limit of the whole process and warns on
    stderr. featx has a limit of its own, which says how to change it.

    Raises:
        PIL.UnidentifiedImageError: If it is in none of them.
    """
    load_plugins()
    for name in FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        try:
            # `accept` returns text for a format that this Pillow was built without.
            if accept is None or accept(data[:16]) is True:
                return factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # As in Pillow: another format may begin alike.
    raise UnidentifiedImageError


@functools.cache
def load_plugins() -> None:
    """Load Pillow's plugins for `FORMATS`."""
    Image.init()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


def describe_unknown(data: bytes) -> str:
    """Say what could read bytes that `open_picture` cannot, if that is known."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS and "HEIF" not in Image.OPEN:
        return "HEIC: to read it, install pillow-heif (pip install pillow-heif)"
    if brand in (b"avif", b"avis"):
        return "AVIF: to read it, install Pillow 11.3 or later, built with AVIF"
    return "not an image in a format that featx reads"


_HEIC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"])
