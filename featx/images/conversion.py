"""From pictures of any mode and size to a model's channels and input size."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from featx.errors import ImageError
from featx.images.placement import place
from featx.images.profiles import to_srgb
from featx.images.reduced import Reduction
from featx.input_spec import InputSpec

STRIP_PIXELS = 4_000_000
"""Pixels converted at a time; conversions make several copies of them."""

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

FLOATING = "floating-point pixels have no defined 8-bit meaning"
_INTEGERS = "32-bit integer pixels have no defined 8-bit meaning"

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Channels of a model → Pillow's mode; any other number is that of a file's pages."""


def check_samples(image: Image.Image) -> None:
    """Refuse a file's 32-bit integers, whatever their values are.

    Mode I alone does not tell: 16-bit PNM files have it too.
    """
    if isinstance(image, TiffImageFile) and image.mode == "I":
        bits = image.tag_v2.get(BITSPERSAMPLE, (1,))
        if max(bits) > 16:
            raise ImageError(_INTEGERS)


def to_channels(image: Image.Image, contract: InputSpec, mode: str | None = None) -> Image.Image:
    """Bring any Pillow mode to the one of the model's channels, or to `mode`."""
    target = mode or MODES[contract.channels]
    if image.width * image.height <= STRIP_PIXELS or (
        image.mode == target and not image.has_transparency_data
    ):
        return _convert(image, target, contract.background)
    converted = Image.new(target, image.size)
    num_rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, num_rows):
        strip = image.crop((0, top, image.width, min(top + num_rows, image.height)))
        converted.paste(_convert(strip, target, contract.background), (0, top))
    return converted


def _convert(image: Image.Image, target: str, background: tuple[int, int, int]) -> Image.Image:
    """Convert pixel by pixel: a picture may be converted in strips."""
    if image.mode == "F":
        raise ImageError(FLOATING)
    if image.mode.startswith("I"):  # 16-bit grey: I;16 in its byte orders, or I (32-bit)
        samples = np.asarray(image)
        if samples.min() < 0 or samples.max() > 65535:
            raise ImageError(_INTEGERS)
        key = image.info.get("transparency")
        image = Image.fromarray((samples.astype(np.uint16) >> 8).astype(np.uint8))
        if isinstance(key, int):  # PNG: the one grey value that is transparent
            image.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    if image.has_transparency_data and target != "RGBA":
        if image.mode == "P":
            return _composite_palette(image, background).convert(target)
        canvas = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(canvas, image.convert("RGBA"))
    return image if image.mode == target else image.convert(target)


def _composite_palette(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Composite the colors of a palette instead of all pixels: five times as fast."""
    colors = image.crop((0, 0, 1, 1)).resize((256, 1))
    colors.putdata(range(256))
    palette = _convert(colors.convert("RGBA"), "RGB", background)
    picture = image.copy()
    picture.info.pop("transparency", None)  # A palette may itself have alpha.
    picture.putpalette(palette.tobytes())
    return picture


def fit(
    image: Image.Image,
    contract: InputSpec,
    reduction: Reduction | None = None,
    profile: bytes = b"",
) -> np.ndarray:
    """Resize by the contract's rule and return pixels of shape (H, W, C).

    Args:
        image: The picture, upright.
        contract: Size, resize rule, interpolation, background.
        reduction: How `image` was decoded at a fraction of its size, if it was. The crop is chosen
            in the coordinates of the whole: pixels of the smaller image are too coarse.
        profile: The colour profile with which the resized picture is converted to sRGB, if any:
            so time and memory do not grow with the picture.
    """
    width, height = contract.width, contract.height
    full_width, full_height = image.size if reduction is None else reduction.full_size
    covered = image.size if reduction is None else reduction.covered
    across, down = covered[0] / full_width, covered[1] / full_height
    whole = (0, 0, *covered)
    resample = _FILTERS[contract.interpolation]
    placed = place((full_width, full_height), contract)
    if contract.resize == "crop":
        left, top, right, bottom = placed.seen
        box = (left * across, top * down, right * across, bottom * down)
        image = _finish(image.resize((width, height), resample, box=box), contract, profile)
    elif contract.resize == "pad":
        left, top, right, bottom = placed.inside
        size = (right - left, bottom - top)
        fitted = _finish(image.resize(size, resample, box=whole), contract, profile)
        image = Image.new("RGB", (width, height), contract.background).convert(fitted.mode)
        image.paste(fitted, (left, top))
    else:
        if image.size != (width, height):
            image = image.resize((width, height), resample, box=whole)
        image = _finish(image, contract, profile)
    pixels = np.array(image, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]


def _finish(image: Image.Image, contract: InputSpec, profile: bytes) -> Image.Image:
    """Convert a resized picture to sRGB and to the model's channels, if it has a profile."""
    return to_srgb(image, profile).convert(MODES[contract.channels]) if profile else image
