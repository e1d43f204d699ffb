"""Ways to damage a file: bytes, declared sizes, JSON. All draw from the generator given."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

MAX_INSERTED = 4096
"""Most bytes that one mutation adds, so that files stay small."""

HUGE_SIZES = (0, 1, 4096, 9459, 13377, 16383, 30_000, 65_535, 10**6, 2**31 - 1, 2**32 - 1)
"""Declared widths and heights: none, small, the largest squares that pass as two and as one of
Pillow's pixel limits (89 and 179 million), the limits of formats, and beyond any."""

Mutation = Callable[[bytearray, random.Random], None]


def flip_bits(data: bytearray, draw: random.Random) -> None:
    """Change single bits in up to 16 bytes."""
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def replace_bytes(data: bytearray, draw: random.Random) -> None:
    """Set up to 8 bytes to anything, half of the time near the beginning."""
    limit = min(len(data), 64) if draw.random() < 0.5 else len(data)
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(limit)] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))


def overwrite_run(data: bytearray, draw: random.Random) -> None:
    """Overwrite a run with zeros, ones or noise."""
    begin, end = _slice(data, draw)
    fill = draw.choice((b"\0", b"\xff", None))
    data[begin:end] = draw.randbytes(end - begin) if fill is None else fill * (end - begin)


def truncate(data: bytearray, draw: random.Random) -> None:
    """Cut the end off."""
    del data[draw.randrange(len(data)) :]


def extend(data: bytearray, draw: random.Random) -> None:
    """Append zeros, ones or noise."""
    count = draw.randint(1, MAX_INSERTED)
    data += draw.choice((bytes(count), b"\xff" * count, draw.randbytes(count)))


def repeat_slice(data: bytearray, draw: random.Random) -> None:
    """Insert a copy of a slice behind it."""
    begin, end = _slice(data, draw)
    data[end:end] = data[begin:end][:MAX_INSERTED]


def delete_slice(data: bytearray, draw: random.Random) -> None:
    """Remove a slice."""
    begin, end = _slice(data, draw)
    del data[begin:end]


def swap_slices(data: bytearray, draw: random.Random) -> None:
    """Exchange two slices of equal length."""
    length = draw.randint(1, max(1, len(data) // 4))
    first, second = sorted(draw.randrange(max(1, len(data) - length)) for _ in range(2))
    left, right = data[first : first + length], data[second : second + length]
    data[first : first + length], data[second : second + length] = right, left


BYTE_MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    replace_bytes,
    overwrite_run,
    truncate,
    extend,
    repeat_slice,
    delete_slice,
    swap_slices,
)


def mutate_bytes(data: bytes, draw: random.Random, relatives: Sequence[bytes] = ()) -> bytes:
    """Damage a file in one to three ways, or splice it with another of its kind."""
    damaged = bytearray(data)
    if relatives and draw.random() < 0.08:
        other = draw.choice(relatives)
        damaged[draw.randrange(len(damaged)) :] = other[draw.randrange(len(other)) :]
        return bytes(damaged)
    for mutation in draw.choices(BYTE_MUTATIONS, k=draw.choice((1, 1, 2, 3))):
        if damaged:
            mutation(damaged, draw)
    return bytes(damaged)


def declare_size(data: bytes, size: tuple[int, int], draw: random.Random) -> bytes:
    """Replace the width and height that a picture declares, wherever they are written.

    Args:
        data: The file.
        size: The width and height that it declares.
        draw: Chooses what stands there instead; one of both may stay.
    """
    changes = [(old, draw.choice(HUGE_SIZES)) for old in size]
    if draw.random() < 0.3:
        del changes[draw.randrange(2)]
    for old, new in changes:
        for pattern, replacement in _spellings(old, new):
            data = data.replace(pattern, replacement)
    return data


def reseal_png(data: bytes) -> bytes:
    """Correct the checksums of a PNG's chunks, or the decoder would look no further."""
    sealed = bytearray(data)
    position = 8
    while position + 12 <= len(sealed):
        (length,) = struct.unpack_from(">I", sealed, position)
        end = position + 8 + length
        if end + 4 > len(sealed):
            break
        struct.pack_into(">I", sealed, end, zlib.crc32(sealed[position + 4 : end]))
        position = end + 4
    return bytes(sealed)


def mutate_json(value: Any, draw: random.Random) -> str:
    """Return the text of a JSON value with one to three of its parts changed beyond recognition."""
    value = json.loads(json.dumps(value))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        entries = list(_entries(value))
        container, key = draw.choice(entries)
        if draw.random() < 0.25:
            del container[key]
            if not value:
                break
        else:
            container[key] = _other_value(container[key], draw)
    text = json.dumps(value, ensure_ascii=False)
    return text.replace('"<deep>"', "[" * 100_000 + "]" * 100_000)


def _other_value(value: Any, draw: random.Random) -> Any:
    """Return something of another type, or of the same type and absurd."""
    if isinstance(value, list) and draw.random() < 0.3:
        return value * 2 or [0]
    return draw.choice(
        (
            *(None, True, False, 0, -1, 1, 2, 2**31, 2**63, 10**30, -(2**63), 1.5, 1e308),
            *(float("nan"), float("inf"), "", "x", "x" * 10_000, "\ud800", "\0", "..", "/dev/zero"),
            *([], {}, [value], [[]] * 3, {"x": value}, [None, 1, "x"], "<deep>", str(value)),
        )
    )


def _entries(value: Any) -> Any:
    """Yield ``(container, key)`` of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _entries(inner)


def _slice(data: bytearray, draw: random.Random) -> tuple[int, int]:
    begin = draw.randrange(len(data))
    longest = draw.choice((4, 64, len(data)))
    return begin, min(len(data), begin + draw.randint(1, longest))


def _spellings(old: int, new: int) -> list[tuple[bytes, bytes]]:
    """Return how formats write a size, and the new one in the same way."""
    pairs = []
    for code, limit in ((">I", 2**32), ("<I", 2**32), (">H", 2**16), ("<H", 2**16)):
        pairs.append((struct.pack(code, old), struct.pack(code, min(new, limit - 1))))
    # WebP's canvas: 24 bits, one less. Three zeros or so behind it are a picture's own bytes.
    canvas = struct.pack("<I", min(max(new, 1) - 1, 2**24 - 1))[:3]
    pairs.append((struct.pack("<I", old - 1)[:3], canvas))
    pairs.append((b"\n%d " % old, b"\n%d " % new))
    pairs.append((b" %d\n" % old, b" %d\n" % new))
    return pairs
