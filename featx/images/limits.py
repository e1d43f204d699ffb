"""How large a picture may be, in featx and in Pillow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from PIL import Image

from featx.errors import ImageError, InvalidValue
from featx.forks import ProcessLock
from featx.wording import option

MAX_PIXELS = 16384 * 12288
"""Largest picture that is decoded, 201,326,592 pixels: those of the largest sensors in phones."""

EMPTY = "the file is empty (0 bytes)"
"""Why an empty file is not a picture; known before it is read."""

LARGE_PIXELS = 16_000_000
"""Larger pictures are decoded one at a time: one for each thread, at up to 3.7 GB for the largest
JPEG 2000, would fill most machines, and a damaged header is enough to claim a size."""

CODE_BLOCK = 4096
"""Most coefficients of a code block of JPEG 2000 (ISO/IEC 15444-1, B.7)."""


@contextlib.contextmanager
def pixel_limit(max_pixels: int | None) -> Iterator[None]:
    """Let Pillow decode pictures of up to `max_pixels` without a warning, while this is held.

    Some of its decoders (animations, tiled TIFF) obey a limit of the whole process. It is only
    ever raised, and restored when the last of several holders has ended.

    Args:
        max_pixels: Largest picture that is decoded; None for `MAX_PIXELS`.

    Raises:
        InvalidValue: If the limit is not positive.
    """
    global _held, _pillow_limit, _largest
    if max_pixels is not None and max_pixels < 1:
        raise InvalidValue(
            f"{option('max_pixels')} takes at least 1 pixel. Received: {max_pixels}."
        )
    with _holding:
        if not _held:
            _pillow_limit = Image.MAX_IMAGE_PIXELS
        _held += 1
        _largest = max(_largest, max_pixels or 0)
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels or MAX_PIXELS)
    try:
        yield
    finally:
        with _holding:
            _held -= 1
            if not _held:
                Image.MAX_IMAGE_PIXELS = _pillow_limit
                _largest = 0


_holding = ProcessLock()
_held = 0
_pillow_limit: int | None = None
_largest = 0


def largest_allowed() -> int:
    """Return the largest of the limits that are held now, and of the usual one."""
    return max(_largest, MAX_PIXELS)


def check_pixels(image: Image.Image, limit: int, name: str = "") -> None:
    """Refuse a picture of more pixels than the limit.

    Args:
        image: The picture, opened.
        limit: The most pixels.
        name: Which page or frame it is, for the message.

    Raises:
        ImageError: Says how large it is.
    """
    if image.width * image.height > limit:
        begin = f"{name}: " if name else ""
        raise ImageError(
            f"{begin}{image.width} x {image.height} pixels: the limit is {limit:,} pixels "
            f"({option('max_pixels')} changes it)"
        )


def is_large(image: Image.Image) -> bool:
    """Whether a picture is one of those that are decoded one at a time."""
    return image.width * image.height > LARGE_PIXELS


def decoding(image: Image.Image) -> contextlib.AbstractContextManager[object]:
    """Return what is held while a picture is decoded: if it is large, no other large one is."""
    return _large_picture if is_large(image) else contextlib.nullcontext()


_large_picture = ProcessLock()


def check_code_blocks(image: Image.Image, num_bytes: int) -> None:
    """Refuse a large JPEG 2000 picture with less than one byte for each code block.

    OpenJPEG takes memory and time for what the header claims (18 bytes a pixel), and reports
    what is missing as black; other decoders stop where the data end.
    """
    if num_bytes * CODE_BLOCK < image.width * image.height:
        raise ImageError(
            f"damaged: {image.width} x {image.height} pixels cannot be in {num_bytes:,} bytes"
        )
