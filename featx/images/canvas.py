"""Decoding the pixels of a picture as its format means them, where Pillow leaves that open.

- GIF: what no frame has painted is transparent, as in browsers; Pillow gives it a colour.
- AVIF: only the clean aperture is shown.
- JPEG: one that ends early is not a picture with a grey end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from featx.images.clean_aperture import find_clean_aperture
from featx.images.jpeg import is_jpeg, load_jpeg

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


def load_canvas(image: Image.Image, painted: Sequence[Box] = ()) -> Image.Image:
    """Decode the pixels of a picture, as they are stored: not turned.

    Args:
        image: The picture, opened, at one of its frames.
        painted: Of a GIF, the boxes of the frames before this one, from `painted_box`.
    """
    if image.format == "GIF":
        boxes = [*painted, *painted_box(image)]
        image.load()
        return _clear_outside(image, boxes)
    if image.format == "AVIF" and getattr(image, "n_frames", 1) == 1:
        aperture = find_clean_aperture(_read_all(image), image.size)
        image.load()
        return image if aperture is None else image.crop(aperture)
    if is_jpeg(image):
        load_jpeg(image)
    else:
        image.load()
    return image


def painted_box(image: Image.Image) -> list[Box]:
    """Return the box that the current frame of a GIF paints; none for other pictures.

    Before it is decoded: afterwards Pillow has forgotten it.
    """
    tiles: list[Any] = getattr(image, "tile", []) if image.format == "GIF" else []
    return [tuple(tile[1]) for tile in tiles]


def _clear_outside(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Make transparent what is in none of some boxes."""
    if not boxes or (0, 0, *image.size) in boxes:
        return image
    picture = image.convert("RGBA")
    alpha, painted = picture.getchannel("A"), Image.new("L", image.size, 0)
    for box in boxes:
        painted.paste(alpha.crop(box), box)
    picture.putalpha(painted)
    return picture


def _read_all(image: Image.Image) -> bytes:
    """Return the bytes of an opened file, before its pixels are decoded."""
    file: Any = getattr(image, "fp", None)
    if file is None or file.closed:
        return b""
    file.seek(0)
    data: bytes = file.read()
    return data
