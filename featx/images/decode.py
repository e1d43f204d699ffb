"""From a file's bytes to 8-bit pixels of the size a model takes, with Pillow.

How each kind of picture becomes RGB (or grey, for models of one channel; for models of four, RGB
with alpha; for models of two or more than four, the pages of one file, each in grey):

- the first frame of an animation or multi-page file (``--frame`` chooses others);
- the camera's EXIF orientation is applied (``exif="apply"``), damaged EXIF data ignored;
- 16-bit samples keep their high byte, in grey and in colour alike;
- palette, grey and bilevel pictures are expanded;
- transparency is composited onto the contract's background (white unless changed);
- CMYK and YCCK are converted by Pillow's plain formula;
- embedded colour profiles are ignored, or pictures converted to sRGB by them (``icc="apply"``);
- floating-point pictures have no defined 8-bit meaning and are refused.

Memory: decoded pixels take up to 4 bytes each and are converted in strips; large pictures are
decoded one at a time, whatever the number of threads.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
from PIL import Image

from featx.errors import ImageError
from featx.images.canvas import Unpainted
from featx.images.conversion import MODES, check_samples, fit, to_channels
from featx.images.formats import open_picture
from featx.images.libtiff import libtiff_reasons
from featx.images.limits import (
    EMPTY,
    MAX_PIXELS,
    check_code_blocks,
    check_pixels,
    decoding,
    is_large,
)
from featx.images.orientation import (
    is_turned_sideways,
    load_upright,
    remaining_orientation,
)
from featx.images.profiles import natural_mode, profile_of
from featx.images.reasons import describe
from featx.images.reduced import reduce
from featx.input_spec import InputSpec
from featx.units import format_count


def decode_image(data: bytes, contract: InputSpec, *, max_pixels: int | None = None) -> np.ndarray:
    """Decode one picture and fit it to a model's input size.

    Args:
        data: The bytes of the file.
        contract: Size, channels, resize rule, interpolation, EXIF policy, background, and whether
            JPEGs may be decoded at a fraction of their size.
        max_pixels: Largest picture that is decoded; None for `MAX_PIXELS`. Above that, the
            caller holds `pixel_limit`.

    Returns:
        Pixels in [0, 255], uint8, shape (H, W, C), in the contract's channels, not yet scaled.

    Raises:
        ImageError: If the bytes are not a picture that can be decoded whole.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> Image.new("L", (30, 20), 7).save(file, "PNG")
        >>> decode_image(file.getvalue(), InputSpec(height=4, width=6)).shape
        (4, 6, 3)
    """
    if not data:
        raise ImageError(EMPTY)
    limit = max_pixels or MAX_PIXELS
    try:
        with open_picture(data) as image, _reasons_of(image):
            return _convert(image, len(data), contract, limit)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(describe(error, data, limit)) from error


def upright_size(data: bytes, contract: InputSpec) -> tuple[int, int]:
    """Return the height and width of a picture as it is looked at, by the contract's EXIF policy.

    Raises:
        ImageError: If the bytes are not a picture.
    """
    return size_and_turn(data, contract)[0]


def size_and_turn(data: bytes, contract: InputSpec) -> tuple[tuple[int, int], int]:
    """Return `upright_size`, and the EXIF orientation that the contract leaves out; 1 for none.

    Raises:
        ImageError: If the bytes are not a picture.
    """
    try:
        with open_picture(data) as image:
            orientation = remaining_orientation(image, contract)
            if image.format == "AVIF":  # It may state that a part of it is to be shown.
                width, height = load_upright(image, contract).size
            else:
                width, height = image.size
                if is_turned_sideways(image, contract):
                    width, height = height, width
    except Exception as error:
        raise ImageError(describe(error, data, MAX_PIXELS)) from error
    return (height, width), orientation


def _reasons_of(image: Image.Image) -> contextlib.AbstractContextManager[None]:
    """Collect what libtiff says, of the pictures that it decodes."""
    return libtiff_reasons() if image.format == "TIFF" else contextlib.nullcontext()


def is_reduced(data: bytes, contract: InputSpec) -> bool:
    """Whether a picture is decoded at a fraction of its size; False for damaged ones."""
    try:
        with open_picture(data) as image:
            return reduce(image, contract) is not None
    except Exception:  # Decoding reports what is wrong with it.
        return False


def _convert(image: Image.Image, num_bytes: int, contract: InputSpec, limit: int) -> np.ndarray:
    """Decode an opened picture, at a fraction where that is allowed."""
    check_pixels(image, limit)
    reduction = reduce(image, contract)
    if is_large(image) and image.format == "JPEG2000":
        check_code_blocks(image, num_bytes)
    with decoding(image):
        if contract.channels not in MODES:
            return _stack_pages(image, contract, limit)
        size = image.size
        check_samples(image)
        upright = load_upright(image, contract)
        if reduction is not None and upright.size != size:
            reduction = reduction.transposed()
        profile = profile_of(image, contract)
        mode = natural_mode(upright, profile, contract.channels)
        picture = to_channels(upright, contract, mode)
        return fit(picture, contract, reduction, b"" if mode is None else profile)


def _stack_pages(image: Image.Image, contract: InputSpec, limit: int) -> np.ndarray:
    """Take each page of a file as one channel, in grey."""
    num_pages = getattr(image, "n_frames", 1)
    if num_pages != contract.channels:
        raise ImageError(
            f"{format_count(num_pages, 'page')}: the model takes {contract.channels} "
            f"channels, which are the pages of a file, such as a TIFF of {contract.channels} pages"
        )
    page = replace(contract, channels=1)
    pages = []
    unpainted = Unpainted(image)
    for number in range(num_pages):
        unpainted.seek(image, number)
        check_pixels(image, limit, f"page {number + 1}")
        check_samples(image)
        pages.append(fit(to_channels(load_upright(image, page, unpainted), page), page))
    return np.concatenate(pages, axis=2)
