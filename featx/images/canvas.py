"""Decoding the pixels of a picture as its format means them, where Pillow leaves that open.

- GIF: what no frame has painted is transparent, as in browsers; Pillow gives it a colour.
- AVIF: only the clean aperture is shown.
- JPEG: one that ends early is not a picture with a grey end.
"""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageChops

from featx.images.clean_aperture import find_clean_aperture
from featx.images.jpeg import is_jpeg, load_jpeg
from featx.images.limits import check_pixels, largest_allowed


class Unpainted:
    """What the frames of a GIF have not painted yet; nothing in pictures of other formats.

    Args:
        image: The picture, opened, at its first frame.

    Raises:
        ImageError: If a GIF has too many pixels.
    """

    def __init__(self, image: Image.Image) -> None:
        self._is_gif = image.format == "GIF"
        self._size = (0, 0)
        self._mask: Image.Image | None = None
        self.paint(image)

    def paint(self, image: Image.Image) -> None:
        """Take away what the current frame paints.

        Before it is decoded: afterwards Pillow has forgotten it.
        """
        if not self._is_gif:
            return
        check_pixels(image, largest_allowed())
        if image.size != self._size:  # Pillow extends the canvas for a frame that passes its end.
            mask = Image.new("L", image.size, 255)
            mask.paste(0 if self._mask is None else self._mask, (0, 0, *self._size))
            self._mask, self._size = mask, image.size
        tiles: list[Any] = getattr(image, "tile", [])
        for box in [tuple(tile[1]) for tile in tiles]:
            if box == (0, 0, *image.size):
                self._mask = None
            elif self._mask is not None:
                self._mask.paste(0, box)

    def seek(self, image: Image.Image, number: int) -> None:
        """Go to another frame, not back, and take away what the frames on the way paint."""
        if not self._is_gif:
            image.seek(number)
            return
        for position in range(image.tell() + 1, number + 1):
            image.seek(position)
            self.paint(image)

    def clear(self, image: Image.Image) -> Image.Image:
        """Return a decoded frame, transparent where nothing was painted."""
        if self._mask is None:
            return image
        unused = _unused_color(image)
        if unused is None:
            picture = image.convert("RGBA")
            picture.putalpha(ImageChops.subtract(picture.getchannel("A"), self._mask))
        else:  # One byte for each pixel instead of four.
            picture = image.copy()
            picture.paste(unused, mask=self._mask)
            picture.info["transparency"] = unused
        return picture


def load_canvas(image: Image.Image, unpainted: Unpainted | None = None) -> Image.Image:
    """Decode the pixels of a picture, as they are stored: not turned.

    Args:
        image: The picture, opened, at one of its frames.
        unpainted: Of a GIF at another frame than its first, what is still unpainted there.
    """
    if image.format == "GIF":
        unpainted = unpainted or Unpainted(image)
        image.load()
        return unpainted.clear(image)
    if image.format == "AVIF" and getattr(image, "n_frames", 1) == 1:
        aperture = find_clean_aperture(_read_all(image), image.size)
        image.load()
        return image if aperture is None else image.crop(aperture)
    if is_jpeg(image):
        load_jpeg(image)
    else:
        image.load()
    return image


def _unused_color(image: Image.Image) -> int | None:
    """Return the color of a palette, or the grey, that is transparent or that no pixel has."""
    if image.mode not in ("P", "L"):
        return None
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        return transparent
    counts = image.histogram()
    return counts.index(0) if 0 in counts else None


def _read_all(image: Image.Image) -> bytes:
    """Return the bytes of an opened file, before its pixels are decoded."""
    file: Any = getattr(image, "fp", None)
    if file is None or file.closed:
        return b""
    file.seek(0)
    data: bytes = file.read()
    return data
