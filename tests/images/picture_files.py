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
