"""From a file's bytes to 8-bit pixels of the size a model takes, with Pillow.

How each kind of picture becomes RGB (or grey, for models of one channel; for models of four, RGB
with alpha; for models of two or more than four, the pages of one file, each in grey):

- the first frame of an animation or multi-page file (``--frame`` makes items of others);
- the camera's EXIF orientation is applied (``exif="apply"``), damaged EXIF data ignored;
- 16-bit samples keep their high byte, in grey and in colour alike;
- palette, grey and bilevel pictures are expanded;
- transparency is composited onto the contract's background (white unless changed);
- CMYK and YCCK are converted by Pillow's plain formula, without colour profiles;
- floating-point pictures have no defined 8-bit meaning and are refused.

Only the formats in `FORMATS` are opened. Pillow knows others, some of which start programs
(EPS: Ghostscript) or make what they are asked for out of a few bytes.

Memory: decoded pixels take up to 4 bytes each and are converted in strips; large pictures are
decoded one at a time, whatever the number of threads.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from featx.errors import ImageError, InvalidValue
from featx.specs import InputSpec

MAX_PIXELS = 178_956_970
"""Largest picture that is decoded: the limit above which Pillow itself refuses a
file as a decompression bomb (a quarter of a GiB of RGB, doubled)."""

FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "WEBP",
    "BMP",
    "DIB",
    "TIFF",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "PPM",
    "TGA",
)
"""Pillow's names of the formats that are read, tried in this order; TGA, which nothing but its
ending tells, last. HEIF is there when pillow-heif is installed."""

LARGE_PIXELS = 16_000_000
"""Pictures above this wait for each other: as many as there are threads, at up to 3.3 GB for
the largest JPEG 2000, would fill most machines, and a damaged header is enough to claim a size."""

STRIP_PIXELS = 4_000_000
"""Larger pictures are converted so many pixels at a time: conversions make several copies."""

LIMIT_OPTION = "--max-pixels"
"""The option that changes the limit, named in messages."""

CODE_BLOCK = 4096
"""Most coefficients of a code block of JPEG 2000 (ISO/IEC 15444-1, B.7)."""

_large_picture = threading.Lock()

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Channels of a model → Pillow's mode; any other number is that of a file's pages."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what brings the stored pixels upright (Exif 2.32, tag 0x0112)."""

_TURNS_BACK = _TURNS | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def decode_image(
    data: bytes, contract: InputSpec, *, draft: bool = False, max_pixels: int | None = None
) -> np.ndarray:
    """Decode one picture and fit it to a model's input size.

    Args:
        data: The bytes of the file.
        contract: Size, channels, resize rule, interpolation, EXIF policy, background.
        draft: Let JPEGs be decoded at a fraction of their size, several times as fast. Good for
            looking at; a model must see the exact pixels.
        max_pixels: Largest picture that is decoded; None for `MAX_PIXELS`. Above that, the
            caller holds `pixel_limit`.

    Returns:
        Pixels in [0, 255], uint8, shape (H, W, C), in the contract's channels, not yet scaled.

    Raises:
        ImageError: If the bytes are not a picture that can be decoded whole.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (30, 20), 7).save(file, "PNG")
        >>> decode_image(file.getvalue(), InputSpec(height=4, width=6)).shape
        (4, 6, 3)
    """
    if not data:
        raise ImageError("the file is empty (0 bytes)")
    limit = max_pixels or MAX_PIXELS
    try:
        with open_picture(data) as image:
            if image.width * image.height > limit:
                raise ImageError(
                    f"{image.width} x {image.height} pixels: the limit is {limit:,} pixels "
                    f"({LIMIT_OPTION} changes it)"
                )
            if draft:  # Twice the size, so that the resizing still averages.
                image.draft(None, (2 * contract.width, 2 * contract.height))
            is_large = image.width * image.height > LARGE_PIXELS
            if is_large and image.format == "JPEG2000":
                _check_code_blocks(image, len(data))
            with _large_picture if is_large else contextlib.nullcontext():
                if contract.channels not in _MODES:
                    return _stack_pages(image, contract, limit)
                return _fit(_to_channels(_load(image, contract), contract), contract)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(_describe_unknown(data)) from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"too many pixels: the limit is {limit:,} pixels ({LIMIT_OPTION} changes it)"
        ) from None
    except Exception as error:
        # Decoders meet arbitrary bytes here and raise whatever their parser stumbles on
        # (struct.error, SyntaxError, KeyError, ...): all of it means "damaged file".
        text = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"damaged or unsupported image: {text}") from error


def open_picture(data: bytes) -> Image.Image:
    """Open a picture of one of `FORMATS`, without decoding it.

    `Image.open` is not used: it compares sizes with a limit of the whole process and warns on
    stderr. featx has a limit of its own, which says how to change it.

    Raises:
        PIL.UnidentifiedImageError: If it is in none of them.
    """
    _load_plugins()
    for name in FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        try:
            # Of a format that this Pillow was built without, accept gives a text.
            if accept is None or accept(data[:16]) is True:
                return factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # As Pillow does: what looks like this format may be another.
    raise UnidentifiedImageError


@contextlib.contextmanager
def pixel_limit(max_pixels: int | None) -> Iterator[None]:
    """Let Pillow decode pictures of up to `max_pixels` without a warning, while this is held.

    Some of its decoders (animations, tiled TIFF) look at a limit of the whole process. That is
    only ever raised, and put back when the last one of several has ended.

    Args:
        max_pixels: Largest picture that is decoded; None for `MAX_PIXELS`.

    Raises:
        InvalidValue: If the limit is not positive.
    """
    global _held, _former
    if max_pixels is not None and max_pixels < 1:
        raise InvalidValue(f"{LIMIT_OPTION} takes at least 1 pixel. Received: {max_pixels}.")
    with _holding:
        if not _held:
            _former = Image.MAX_IMAGE_PIXELS
        _held += 1
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels or MAX_PIXELS)
    try:
        yield
    finally:
        with _holding:
            _held -= 1
            if not _held:
                Image.MAX_IMAGE_PIXELS = _former


_holding = threading.Lock()
_held = 0
_former: int | None = None


def count_frames(data: bytes) -> int:
    """Return the frames or pages of a picture; 1 for one that cannot be opened.

    Example:
        >>> file = io.BytesIO()
        >>> pages = [Image.new("L", (4, 4), grey) for grey in (0, 255)]
        >>> pages[0].save(file, "GIF", save_all=True, append_images=pages[1:])
        >>> count_frames(file.getvalue())
        2
    """
    try:
        with open_picture(data) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # What is wrong with it is said when it is decoded.
        return 1


def take_frame(data: bytes, number: int, encode: Callable[[Image.Image], bytes]) -> bytes:
    """Return one frame of a picture as a picture of its own.

    Raises:
        ImageError: If there is no such frame.
    """
    try:
        with open_picture(data) as image:
            image.seek(number)
            image.load()
            return encode(image)
    except MemoryError:
        raise
    except EOFError:
        raise ImageError(f"there is no frame {number} in it") from None
    except Exception as error:  # As in `decode_image`.
        text = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"damaged or unsupported image: {text}") from error


class FrameTaker:
    """Takes frames of one picture, opened once as long as they are asked for about in order.

    An animation can only be decoded from its beginning.

    Args:
        data: The bytes of the file.
        encode: Makes a picture of a frame.
        keeps_passed: Keep some frames on the way to another: they are asked for by other threads.
    """

    def __init__(
        self, data: bytes, encode: Callable[[Image.Image], bytes], *, keeps_passed: bool
    ) -> None:
        self._data = data
        self._encode = encode
        self._keeps_passed = keeps_passed
        self._lock = threading.Lock()
        self._image: Image.Image | None = None
        self._next = 0
        self._passed: OrderedDict[int, bytes] = OrderedDict()

    def take(self, number: int) -> bytes:
        """Return one frame; see `take_frame`."""
        with self._lock:
            if number in self._passed:
                return self._passed.pop(number)
            try:
                return self._take(number)
            except MemoryError:
                self._image = None
                raise
            except Exception:
                self._image = None
        # Opened for itself: only that says what is wrong with this frame and no other one.
        return take_frame(self._data, number, self._encode)

    def _take(self, number: int) -> bytes:
        if self._image is None or number < self._next:
            self._image, self._next = open_picture(self._data), 0
        if self._keeps_passed:
            for passed in range(max(self._next, number - _MOST_PASSED), number):
                self._passed[passed] = self._encode_frame(self._image, passed)
            while self._passed and (
                len(self._passed) > _MOST_PASSED
                or sum(map(len, self._passed.values())) > _MOST_PASSED_BYTES
            ):
                self._passed.popitem(last=False)
        return self._encode_frame(self._image, number)

    def _encode_frame(self, image: Image.Image, number: int) -> bytes:
        image.seek(number)
        image.load()
        self._next = number + 1
        return self._encode(image)


_MOST_PASSED = 16
_MOST_PASSED_BYTES = 64 << 20


@functools.cache
def _load_plugins() -> None:
    """Make Pillow know `FORMATS`."""
    Image.init()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


def _describe_unknown(data: bytes) -> str:
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS and "HEIF" not in Image.OPEN:
        return "HEIC: to read it, install pillow-heif (pip install pillow-heif)"
    if brand in (b"avif", b"avis"):
        return "AVIF: to read it, install Pillow 11.3 or later, built with AVIF"
    return "not an image in a format that featx reads"


_HEIC_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"])


def _check_code_blocks(image: Image.Image, num_bytes: int) -> None:
    """Refuse a large JPEG 2000 picture that has not even a byte for each code block.

    OpenJPEG takes memory and time for what the header claims (18 bytes a pixel), and reports
    what is missing as black; other decoders stop where the data end.
    """
    if num_bytes * CODE_BLOCK < image.width * image.height:
        raise ImageError(
            f"damaged: {image.width} x {image.height} pixels cannot be in {num_bytes:,} bytes"
        )


def _stack_pages(image: Image.Image, contract: InputSpec, limit: int) -> np.ndarray:
    """Take each page of a file as one channel, in grey."""
    num_pages = getattr(image, "n_frames", 1)
    if num_pages != contract.channels:
        raise ImageError(
            f"{num_pages} page{'s' if num_pages > 1 else ''}: the model takes {contract.channels} "
            f"channels, which are the pages of a file, such as a TIFF of {contract.channels} pages"
        )
    page = replace(contract, channels=1)
    pages = []
    for number in range(num_pages):
        image.seek(number)
        if image.width * image.height > limit:
            raise ImageError(
                f"page {number + 1}: {image.width} x {image.height} pixels: the limit is "
                f"{limit:,} pixels ({LIMIT_OPTION} changes it)"
            )
        pages.append(_fit(_to_channels(_load(image, page), page), page))
    return np.concatenate(pages, axis=2)


def _load(image: Image.Image, contract: InputSpec) -> Image.Image:
    """Decode the pixels, turned as the contract's EXIF policy says.

    `ImageOps.exif_transpose` is not used: it fails, orientation and all, over any other tag
    of a kind that it cannot write back.
    """
    if image.format == "TIFF":  # Pillow turns these while loading, and drops the tag.
        orientation = _orientation(image)
        image.load()
        turn = _TURNS_BACK.get(orientation) if contract.exif == "ignore" else None
    else:
        image.load()
        turn = _TURNS.get(_orientation(image)) if contract.exif == "apply" else None
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where there is none that can be parsed."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _to_channels(image: Image.Image, contract: InputSpec) -> Image.Image:
    """Bring any Pillow mode to the one of the model's channels."""
    target = _MODES[contract.channels]
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
    """Convert each pixel by itself, so that a picture may come in strips."""
    if image.mode == "F":
        raise ImageError("floating-point pixels have no defined 8-bit meaning")
    if image.mode.startswith("I"):  # 16-bit grey: I;16 in its byte orders, or I (32-bit)
        samples = np.asarray(image)
        if samples.min() < 0 or samples.max() > 65535:
            raise ImageError("32-bit integer pixels have no defined 8-bit meaning")
        key = image.info.get("transparency")
        image = Image.fromarray((samples.astype(np.uint16) >> 8).astype(np.uint8))
        if isinstance(key, int):  # PNG: the one grey value that is transparent
            image.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    if image.has_transparency_data and target != "RGBA":
        canvas = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(canvas, image.convert("RGBA"))
    return image if image.mode == target else image.convert(target)


def _fit(image: Image.Image, contract: InputSpec) -> np.ndarray:
    """Resize by the contract's rule and return pixels of shape (H, W, C)."""
    width, height = contract.width, contract.height
    resample = _FILTERS[contract.interpolation]
    if contract.resize == "crop":
        # The largest centred box of the target's proportions, in whole pixels as
        # keras.utils.load_img(keep_aspect_ratio=True) takes it.
        box_width = min(image.width, max(1, image.height * width // height))
        box_height = min(image.height, max(1, image.width * height // width))
        left, top = (image.width - box_width) // 2, (image.height - box_height) // 2
        box = (left, top, left + box_width, top + box_height)
        image = image.resize((width, height), resample, box=box)
    elif contract.resize == "pad":
        fitted = ImageOps.contain(image, (width, height), resample)
        if 0 in fitted.size:  # So narrow that its shorter side rounds to nothing.
            fitted = image.resize((max(1, fitted.width), max(1, fitted.height)), resample)
        image = Image.new("RGB", (width, height), contract.background).convert(image.mode)
        left, top = round((width - fitted.width) / 2), round((height - fitted.height) / 2)
        image.paste(fitted, (left, top))
    elif image.size != (width, height):
        image = image.resize((width, height), resample)
    pixels = np.array(image, dtype=np.uint8)
    return pixels if pixels.ndim == 3 else pixels[:, :, np.newaxis]
