"""A part of a picture in place of the picture: what ``--crop`` takes."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace

from PIL import Image

from featx.errors import ImageError, InvalidValue
from featx.images.formats import open_picture
from featx.images.limits import MAX_PIXELS, check_pixels, decoding
from featx.images.orientation import load_upright
from featx.images.reasons import describe
from featx.images.sources import ImageItem, ImageSet
from featx.input_spec import InputSpec

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")
_ANY_SIZE = InputSpec(1, 1)
"""Of a contract, only the EXIF policy counts here: pictures are cropped as they are seen."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a picture.

    Attributes:
        sides: Left, top, width, height.
        is_share: Which of them are shares of the picture's width or height, in [0, 1], not pixels.
    """

    sides: tuple[float, float, float, float]
    is_share: tuple[bool, bool, bool, bool]

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom in a picture of this size.

        Raises:
            ImageError: If it is not inside the picture.
        """
        whole = (width, height, width, height)
        left, top, across, down = (
            round(side * full if share else side)
            for side, full, share in zip(self.sides, whole, self.is_share, strict=True)
        )
        right, bottom = min(left + across, width), min(top + down, height)
        if left >= right or top >= bottom:
            raise ImageError(f"the part to crop is outside of the picture, {width} x {height}")
        return left, top, right, bottom


def parse_crop(text: str) -> Crop:
    """Read ``X,Y,W,H``: left, top, width, height, each in pixels or per cent.

    Raises:
        InvalidValue: If it is something else.

    Example:
        >>> parse_crop("10%,20,50%,40").box(200, 100)
        (20, 20, 120, 60)
    """
    found = [_NUMBER.fullmatch(part) for part in text.split(",")]
    sides = [(float(m[1]) / (100 if m[2] else 1), bool(m[2])) for m in found if m is not None]
    is_wrong = len(found) != 4 or len(sides) != 4 or not (sides[2][0] and sides[3][0])
    if is_wrong or any(share and side > 1 for side, share in sides):
        raise InvalidValue(
            "A part of a picture is X,Y,W,H: left, top, width, height, in pixels or per cent, such "
            f"as 10%,10%,50%,50%. Received: {text!r}."
        )
    (left, a), (top, b), (width, c), (height, d) = sides
    return Crop((left, top, width, height), (a, b, c, d))


def crop_images(found: ImageSet, crop: Crop, max_pixels: int | None = None) -> ImageSet:
    """Return the same images, each read as its part; of larger ones than the limit none is."""

    def part(item: ImageItem) -> ImageItem:
        return replace(item, reader=_PartReader(item, crop, max_pixels or MAX_PIXELS))

    stream = found.stream
    return replace(
        found,
        items=tuple(map(part, found.items)),
        stream=None if stream is None else map(part, stream),
    )


def crop_picture(data: bytes, crop: Crop, max_pixels: int = MAX_PIXELS) -> bytes:
    """Return a part of a picture as a file without loss.

    Raises:
        ImageError: If it cannot be decoded, or is too large, or the part is outside of it.
    """
    try:
        with open_picture(data) as image:
            check_pixels(image, max_pixels)
            with decoding(image):
                upright = load_upright(image, _ANY_SIZE)
            part = upright.crop(crop.box(*upright.size))
            return _encode(part, image.info.get("icc_profile"))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(describe(error, data, max_pixels)) from error


def _encode(part: Image.Image, profile: bytes | None) -> bytes:
    file = io.BytesIO()
    part.info.pop("exif", None)
    is_png = part.mode in _PNG_MODES or part.mode.startswith("I")
    part.save(file, "PNG" if is_png else "TIFF", icc_profile=profile)
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class _PartReader:
    """Reads a part of one image, in place of the image's own reader."""

    whole: ImageItem
    crop: Crop
    max_pixels: int

    def read(self, item: ImageItem) -> bytes:
        return crop_picture(self.whole.read_bytes(), self.crop, self.max_pixels)
