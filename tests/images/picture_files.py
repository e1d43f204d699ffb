"""Files made by hand for the decoding tests: bytes whose pixels are known."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return a picture as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png_file(samples: np.ndarray, color_type: int, *, transparency: Sequence[int] = ()) -> bytes:
    """Write a PNG of 16-bit samples (H, W, C), which Pillow itself writes only in grey."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)),
            _png_chunk(b"tRNS", struct.pack(f">{len(transparency)}H", *transparency))
            if transparency
            else b"",
            _png_chunk(b"IDAT", zlib.compress(rows)),
            _png_chunk(b"IEND", b""),
        ]
    )


def huge_png(width: int, height: int) -> bytes:
    """Write the start of a PNG that claims a size, with hardly any data behind it."""
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            _png_chunk(b"IDAT", zlib.compress(bytes(1000))),
            _png_chunk(b"IEND", b""),
        ]
    )


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Write an EXIF block of ``(tag, type, count, four bytes of value)`` entries."""
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    header = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return header + body + struct.pack("<I", 0)


def orientation_entry(orientation: int) -> tuple[int, int, int, bytes]:
    """Return the EXIF entry (tag 0x0112, one SHORT) for an orientation."""
    return (0x0112, 3, 1, struct.pack("<HH", orientation, 0))


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def gif_file(size: tuple[int, int], frames: Sequence[tuple[int, int, Image.Image]]) -> bytes:
    """Write a GIF whose frames, each at (left, top), need not cover its canvas."""
    blocks = []
    for left, top, image in frames:
        alone = encode(image, "GIF")
        flags = alone[10]
        table = alone[13 : 13 + 3 * 2 ** ((flags & 7) + 1)]
        start = alone.index(b",", 13 + len(table))
        place = struct.pack("<HHHHB", left, top, *image.size, 0x80 | flags & 7)
        blocks.append(b"," + place + table + alone[start + 10 : -1])
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0, 0, 0) + b"".join(blocks) + b";"


def with_clean_aperture(avif: bytes, numbers: Sequence[int]) -> bytes:
    """Add a `clap` property to the picture in an AVIF file as libavif writes it.

    Args:
        avif: The bytes of the file.
        numbers: Numerator and denominator of width, height, and the offsets of the centre.
    """
    data = bytearray(avif)
    added = struct.pack(">I4s8i", 40, b"clap", *numbers)
    ipma = data.index(b"ipma")
    count_at = ipma + 14  # Behind version, flags, number of items, and the first item's number.
    count = data[count_at]
    properties = data.index(b"ipco")
    (length,) = struct.unpack_from(">I", data, properties - 4)
    end = properties - 4 + length
    number = 1
    position = properties + 4
    while position < end:
        position += struct.unpack_from(">I", data, position)[0]
        number += 1
    data.insert(count_at + 1 + count, 0x80 | number)
    data[count_at] += 1
    data[end:end] = added
    for name, grown in ((b"ipma", 1), (b"ipco", 40), (b"iprp", 41), (b"meta", 41)):
        at = data.index(name) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + grown)
    iloc = data.index(b"iloc")
    (items,) = struct.unpack_from(">H", data, iloc + 10)
    for item in range(items):  # Number, source, number of extents, then offset and length.
        at = iloc + 12 + 14 * item + 6
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 41)
    return bytes(data)
