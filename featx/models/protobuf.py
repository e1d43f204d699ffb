"""Reading messages of Protocol Buffers field by field, without a description of them.

The encoding is that of https://protobuf.dev/programming-guides/encoding/. Bytes are views into the
message: nothing is copied or allocated that it does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Iterate over the fields of a message: number, and an integer or bytes.

    Raises:
        ValueError: If it is not a message.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("it holds fields of an unknown kind")
        if size > end - position:
            raise ValueError("it is cut off")
        yield number, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return a number of variable length, and the position behind it."""
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("it is cut off")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7


def read_integers(message: memoryview, wanted: int) -> list[int]:
    """Return a repeated field of whole numbers, packed or not."""
    found: list[int] = []
    for number, value in read_fields(message):
        if number != wanted:
            continue
        if isinstance(value, int):
            found.append(value)
            continue
        position = 0
        while position < len(value):
            one, position = _varint(value, position)
            found.append(one)
    return found


def read_text(message: memoryview, wanted: int) -> str:
    """Return a text field of a message, the last one as Protocol Buffers has it; empty if none."""
    text = ""
    for number, value in read_fields(message):
        if number == wanted and isinstance(value, memoryview):
            text = decode_text(value)
    return text


def decode_text(value: Any) -> str:
    """Return text from its bytes.

    Raises:
        ValueError: If they are not UTF-8.
    """
    return bytes(value).decode("utf-8")
