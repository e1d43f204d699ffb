"""Pictures of one colour, and what the toy backbone must make of each of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from featx.files import hash_content

LAYERS = ("mean", "map")
"""The layers that are extracted: a vector and a small map, so that rows have two datasets."""

Color = tuple[int, int, int]

TRUTH: dict[bytes, Color] = {}
"""Content hash → colour, of every picture that this process has written.

The truth does not come from a store: a value is right if it is the colour of the picture
whose hash stands beside it.
"""

BROKEN = b"no picture"


def color_of(number: int, version: int = 0) -> Color:
    """Return a colour that no other number and version has (of 250 numbers)."""
    return (number % 250, 40 * version % 250, 3 * number % 250)


def write_picture(path: Path, number: int, version: int = 0, *, mtime: int = 1000) -> None:
    """Write a picture all at once, as a writer beside the pictures would, and note its truth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent.parent / f"picture-{os.getpid()}.tmp"
    color = color_of(number, version)
    Image.new("RGB", (8, 8), color).save(temporary, "PNG")
    os.utime(temporary, (mtime + number, mtime + number))
    TRUTH[hash_content(temporary.read_bytes())] = color
    os.replace(temporary, path)


def break_picture(path: Path, *, mtime: int = 5000) -> None:
    """Write something that is no picture."""
    path.write_bytes(BROKEN)
    os.utime(path, (mtime, mtime))


def is_true(content: bytes, layer: str, value: np.ndarray) -> bool:
    """Whether a stored value is what the picture with this content hash gives."""
    color = TRUTH.get(content)
    if color is None:
        return False
    mean = np.array(color, np.float32) / np.float32(255)
    expected = mean if layer == "mean" else np.broadcast_to(mean, (2, 2, 3))
    return value.shape == expected.shape and bool(np.allclose(value, expected, rtol=0, atol=1e-6))
