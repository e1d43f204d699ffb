"""The clean aperture of an AVIF picture: the part of it that is to be shown.

Pillow leaves that to its callers. The boxes are those of ISO/IEC 14496-12 (`clap`: 12.1.4) and
ISO/IEC 23008-12 (`iprp`: 9.3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

MAX_META_BYTES = 1 << 20
"""Longest description of a picture that is searched; those of cameras have some kilobytes."""

_MAX_BOXES = 1000
"""Most boxes of one level that are looked at."""


def find_clean_aperture(data: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the part of an AVIF file's picture that is to be shown, before it is turned.

    Args:
        data: The bytes of the file.
        size: Width and height of the decoded picture, in pixels.

    Returns:
        Left, top, right and bottom in pixels; None where all of it is shown, or where the file
        does not name whole pixels inside the picture.
    """
    try:
        aperture = _find_property(data, b"clap")
        return None if aperture is None else _to_pixels(struct.unpack(">8I", aperture[:32]), size)
    except (struct.error, IndexError, ZeroDivisionError):
        return None  # Damaged: the picture itself may be whole.


def _to_pixels(numbers: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the box that a `clap` property names: size and offset of the centre, as fractions."""
    sides = []
    for axis, whole in enumerate(size):
        length = Fraction(numbers[2 * axis], numbers[2 * axis + 1])
        offset = Fraction(_signed(numbers[2 * axis + 4]), numbers[2 * axis + 5])
        start = offset + Fraction(whole - 1, 2) - (length - 1) / 2
        if length.denominator != 1 or start.denominator != 1:
            return None
        if length < 1 or start < 0 or start + length > whole:
            return None
        sides.append((int(start), int(start + length)))
    (left, right), (top, bottom) = sides
    return None if (right - left, bottom - top) == size else (left, top, right, bottom)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _find_property(data: bytes, kind: bytes) -> bytes | None:
    """Return the content of a property of the primary item."""
    meta = next((box for name, box in _boxes(data) if name == b"meta"), None)
    if meta is None:
        return None
    boxes = dict(_boxes(meta[4:MAX_META_BYTES]))
    version = boxes[b"pitm"][0] if b"pitm" in boxes else -1
    if version < 0 or b"iprp" not in boxes:
        return None
    (primary,) = struct.unpack_from(">H" if version == 0 else ">I", boxes[b"pitm"], 4)
    containers = dict(_boxes(boxes[b"iprp"]))
    properties = list(_boxes(containers.get(b"ipco", b"")))
    for number in _associated(containers.get(b"ipma", b""), primary):
        if 0 < number <= len(properties) and properties[number - 1][0] == kind:
            return properties[number - 1][1]
    return None


def _associated(box: bytes, item: int) -> list[int]:
    """Return the numbers, from 1, of an item's properties."""
    if not box:
        return []
    version, is_wide = box[0], box[3] & 1
    (count,) = struct.unpack_from(">I", box, 4)
    position = 8
    for _ in range(min(count, _MAX_BOXES)):
        (found,) = struct.unpack_from(">H" if version == 0 else ">I", box, position)
        position += 2 if version == 0 else 4
        num_properties = box[position]
        position += 1
        width = 2 if is_wide else 1
        numbers = struct.unpack_from(f">{num_properties}{'H' if is_wide else 'B'}", box, position)
        position += width * num_properties
        if found == item:  # The first bit says whether a reader must know the property.
            return [number & (0x7FFF if is_wide else 0x7F) for number in numbers]
    return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the content of each box."""
    position = 0
    for _ in range(_MAX_BOXES):
        if position + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if size == 0 else position + size
        if end < start:
            return
        yield kind, data[start:end]
        position = end
