"""Why a picture could not be opened or decoded, in words that are true."""

from __future__ import annotations

import io
import re
import struct
from typing import Any

from PIL import Image, TiffImagePlugin, TiffTags

from featx.errors import ImageError
from featx.images.conversion import FLOATING
from featx.images.formats import RAW, NotOpened, format_of
from featx.wording import option

UNKNOWN = "not an image in a format that featx reads"

_AVIF = "AVIF: to read it, install Pillow 11.3 or later, built with AVIF"
_HEIC = "HEIC: to read it, install pillow-heif (pip install pillow-heif)"

_NAMES = {"JPEG2000": "JPEG 2000", "WEBP": "WebP", "DIB": "BMP", "PPM": "PNM", "HEIF": "HEIC"}
"""Pillow's names of formats → those that people know, where they differ."""

_OTHERS = (
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL (convert it, as with djxl)"),
    (rb"%PDF", "a PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript (no other program is started: convert it)"),
    (rb"8BPS", "a Photoshop document (export it as PNG or TIFF)"),
    (rb"\0\0[\1\2]\0[^\0]\0", "an icon or cursor (convert it to PNG)"),
    (rb"qoif", "QOI (convert it to PNG)"),
    (rb"v/1\x01", f"OpenEXR ({FLOATING})"),
    (rb"#\?RADIANCE|#\?RGBE", f"Radiance HDR ({FLOATING})"),
    (rb"DDS ", "a DirectDraw texture (convert it to PNG)"),
    (rb"FUJIFILMCCD-RAW|IIU\0|IIRO|\0MRM|FOVb", "a camera's raw file (develop it first)"),
    (rb"(?i)\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", "SVG, a drawing (convert it to PNG)"),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype )?html", "a web page (the download went wrong)"),
    (rb"PK\x03\x04|\x1f\x8b|Rar!|7z\xbc\xaf", "an archive"),
    (rb"version https://git-lfs", "a Git LFS pointer (git lfs pull fetches the picture)"),
    (rb"....ftyp(?!avi|mif1|msf1|he[iv])", "a video or another file of that family"),
)
"""Beginnings of files that are not pictures, or of formats that featx does not read."""

_TRUNCATED = re.compile(
    r"(?i)image file is truncated|truncated file read|expected to read \d+ bytes|not enough data"
    r"|end of (file|data)|unexpected eof"
)
_MEANINGS = {
    "broken data stream": "its decoder cannot read the data",
    "unrecognized data stream": "its decoder cannot read the data",
    "decoder error": "its decoder cannot read the data",
    "cannot load this image": "it holds no pixels",
    "not identified by this driver": "its header describes no picture",
}
"""How messages of Pillow that say nothing begin → what they mean."""
_JPEG_LS_FRAME = b"\xff\xf7"
_SAMPLE_FORMAT, _BITS, _SAMPLES, _COMPRESSION, _PHOTOMETRIC = 339, 258, 277, 259, 262
_SENSOR = (32803, 34892)
"""Photometric interpretations of what a sensor has measured: CFA, linear raw (DNG)."""


def describe(error: Exception, data: bytes, limit: int) -> str:
    """Return the reason for which a picture cannot be used.

    Args:
        error: What opening or decoding raised. Decoders get arbitrary bytes and raise whatever
            their parsers run into (struct.error, SyntaxError, KeyError, ...).
        data: The bytes of the file.
        limit: The most pixels that are decoded.
    """
    if isinstance(error, ImageError):
        return error.reason
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels: the limit is {limit:,} pixels ({option('max_pixels')} changes it)"
    if isinstance(error, NotOpened) and error.format is None:
        return _describe_foreign(data)
    name = error.format if isinstance(error, NotOpened) else format_of(data)
    if name is None:  # It was taken for TGA, which has no signature at its beginning.
        if not data.rstrip(b"\0").endswith(b"TRUEVISION-XFILE.") and not _begins_as_tga(data):
            return _describe_foreign(data)
        name = "TGA"
    text = " ".join(str(error).split()) or type(error).__name__
    known = _describe_known(name, text, data)
    if known is not None:
        return known
    shown = _NAMES.get(name, name)
    if _TRUNCATED.search(text):
        return f"truncated {shown}: its data end early"
    for begin, meaning in _MEANINGS.items():
        if text.startswith(begin):
            return f"damaged or unsupported {shown}: {meaning}"
    return f"damaged or unsupported {shown}: {text}"


def _describe_foreign(data: bytes) -> str:
    """Say what bytes in none of the formats are, if that is known."""
    for begin, what in _OTHERS:
        if re.match(begin, data[:1000], re.DOTALL):
            return f"{UNKNOWN}: it is {what}"
    if data[4:8] == b"ftyp":
        if data[8:12] in (b"avif", b"avis"):
            return _AVIF
        return _HEIC
    return UNKNOWN


def _begins_as_tga(data: bytes) -> bool:
    """Whether each field of a header is one of the few that TGA has (Truevision TGA 2.0, annex C).

    Of random bytes, fewer than one in 10^9 begin like that.
    """
    if len(data) < _TGA_HEADER.size:
        return False
    _, has_map, kind, first, length, map_bits, _, _, *size, bits, flags = _TGA_HEADER.unpack_from(
        data
    )
    if has_map:
        is_map = has_map == 1 and first + length <= 256 and map_bits in _TGA_BITS
    else:
        is_map = first == length == map_bits == 0
    return is_map and kind in _TGA_KINDS and bits in _TGA_BITS and all(size) and flags < 64


_TGA_HEADER = struct.Struct("<3B2HB4H2B")
_TGA_KINDS, _TGA_BITS = (1, 2, 3, 9, 10, 11), (8, 15, 16, 24, 32)


def _describe_known(name: str, text: str, data: bytes) -> str | None:
    """Say more of a cause than the decoder does, where that is possible."""
    if name == "AVIF" and data[8:12] in (b"mif1", b"msf1") and b"av01" not in data[:4096]:
        return _HEIC  # Pillow's AVIF tries every file of this family.
    if "support not installed" in text:
        if name == "AVIF":
            return _AVIF
        return f"{_NAMES.get(name, name)}: this Pillow was built without it"
    if name == "PNG" and "requires a buffer" in text and b"IEND" not in data:
        return "truncated PNG: its data end early"
    if name == "JPEG" and _JPEG_LS_FRAME in data[:64]:
        return f"{UNKNOWN}: it is JPEG-LS (convert it to PNG)"
    if name == "JPEG":
        layers = re.match(r"cannot handle (\d+)-(bit layers|layer images)", text)
        if layers is not None and layers[2] == "bit layers":
            return f"JPEG with {layers[1]} bits for each sample: only those with 8 are read"
        if layers is not None:
            return f"JPEG with {layers[1]} channels: only those with 1, 3 or 4 are read"
    if name in ("BMP", "DIB") and "bitfields" in text:
        return "BMP with bit masks that Pillow does not read: convert it to PNG"
    return _describe_tiff(text, data) if name == "TIFF" else None


def _describe_tiff(text: str, data: bytes) -> str | None:
    """Say of a TIFF what its tags say: kind and size of samples, compression."""
    is_codec = text.isdigit() or text.startswith("decoder error")  # A KeyError of the method.
    is_mode = text.startswith(("unknown pixel mode", "unknown data organization"))
    if not is_codec and not is_mode and text != "string index out of range":
        return None
    tags = _read_tags(data)
    if is_codec:
        code = _first(tags.get(_COMPRESSION, 1))
        named = {number: name for name, number in TiffTags.lookup(_COMPRESSION).enum.items()}
        method = _COMPRESSIONS.get(code, named.get(code, f"method {code}"))
        return f"damaged TIFF, or compressed in a way that this Pillow does not read ({method})"
    if _first(tags.get(_PHOTOMETRIC, 0)) in _SENSOR:
        return RAW
    kind, bits = _first(tags.get(_SAMPLE_FORMAT, 1)), _first(tags.get(_BITS, 1))
    if kind == 3:
        return FLOATING
    if kind in (5, 6):
        return "complex numbers are no pixels"
    samples = _first(tags.get(_SAMPLES, 1))
    if not is_mode and samples <= 4:
        return None
    sign = " with a sign" if kind == 2 else ""
    return f"TIFF of {samples} x {bits}-bit samples{sign}: Pillow does not read such pixels"


_COMPRESSIONS = {
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    22610: "JPEG XR",
    34934: "JPEG XR",
    34933: "PNG",
}
"""Methods of compression that TIFF's own list does not name (libtiff, tifffile)."""


def _read_tags(data: bytes) -> dict[int, Any]:
    """Return the tags of the first page; none where they cannot be read."""
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8])
        file = io.BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
        return dict(directory)
    except Exception:
        return {}


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)
