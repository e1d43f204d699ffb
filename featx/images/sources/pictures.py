"""Pictures in memory, one by one: arrays, Pillow images and bytes, as the bytes of a file."""

from __future__ import annotations

import io
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from featx.checks.messages import describe_value
from featx.errors import ImageError, InvalidValue
from featx.images.roots import MEMORY, is_url, public_url
from featx.images.sources.columns import is_missing
from featx.images.sources.folders import make_item
from featx.images.sources.items import ImageFailure, ImageItem
from featx.images.sources.keys import member_key
from featx.images.sources.pixels import as_bytes, describe_type, encode_pixels, label_text
from featx.images.sources.remote import make_url_item
from featx.options import Scale


def is_array(value: Any) -> bool:
    """Whether a value is an array, of NumPy or of a library that NumPy can read."""
    return isinstance(value, np.ndarray) or (
        hasattr(value, "__array__") and hasattr(value, "shape") and hasattr(value, "dtype")
    )


def is_picture(value: Any) -> bool:
    """Whether a value is a picture in memory: an array, a Pillow image, or the bytes of a file."""
    is_held = is_array(value) or isinstance(value, (bytes, bytearray, memoryview))
    return is_held or (hasattr(value, "mode") and hasattr(value, "has_transparency_data"))


class HeldPicture:
    """One picture in memory.

    Args:
        image: An array, a Pillow image, or the bytes of a file.
        scale: What floats mean, see `featx.images.sources.pixels.as_bytes`.
    """

    def __init__(self, image: Any, scale: Scale | None = None) -> None:
        self._image = image
        self._scale = scale

    def read(self, item: ImageItem) -> bytes:
        """Return it as the bytes of an image file."""
        check_key(item.key)
        image = self._image
        if isinstance(image, (bytes, bytearray, memoryview)):
            return bytes(image)
        if not is_array(image):
            return encode_picture(image)
        pixels = np.asarray(image)
        taken = as_bytes(pixels, self._scale)
        pixels = pixels if taken is None else taken
        if pixels.dtype != np.uint8:
            raise ImageError(f"pixels of type {pixels.dtype}. {describe_type(pixels, self._scale)}")
        if pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4) and pixels.shape[0] in (1, 3):
            pixels = pixels.transpose(1, 2, 0)
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
            raise ImageError(f"pixels have the shape (H, W) or (H, W, C), not {pixels.shape}")
        if 0 in pixels.shape:
            raise ImageError(f"no pixels: its shape is {pixels.shape}")
        return encode_pixels(pixels)


def encode_picture(image: Any, orientation: int = 1) -> bytes:
    """Return the pixels of a Pillow image as the bytes of a file, without loss.

    An orientation tag in the image is ignored: it says how to turn the file, and whoever opened
    the image may already have turned it.

    Args:
        image: The picture.
        orientation: The EXIF orientation to write into the file.
    """
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("P", "PA", "LA", "La", "RGBa"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in ("L", "RGB") and image.has_transparency_data:
        image = image.convert("RGBA")
    if image.mode in ("L", "RGB", "RGBA") and orientation == 1:
        return encode_pixels(np.asarray(image))
    # 16 bits, CMYK, turned: converted like files when they are decoded.
    file = io.BytesIO()
    tags = {} if orientation == 1 else {_ORIENTATION: orientation}
    image.save(file, "TIFF", compression=None, tiffinfo=tags)
    return file.getvalue()


_ORIENTATION = 0x0112
"""The tag of TIFF and EXIF (Exif 2.32) for the orientation of a picture."""


_LABELLED = " Of pairs (image, label), pass the images in a list, and labels=."
"""The remedy where a pair is what other libraries make of it."""


def make_picture_item(key: Any, image: Any, label: Any, scale: Scale | None = None) -> ImageItem:
    """Return the item for one picture.

    Args:
        key: Its key.
        image: An array, a Pillow image, the bytes of a file, a path, or a URL. What is missing,
            such as None, is an image that cannot be read.
        label: Its label, or None.
        scale: What floats mean.

    Raises:
        InvalidValue: If it is something else.
    """
    if not isinstance(key, str) or not key:
        raise InvalidValue(
            "A key is a text, such as 'cats/1.jpg': the image's name in the store. Received: "
            f"{describe_value(key)}.{_LABELLED if is_picture(key) else ''}"
        )
    text = label_text(label)
    if is_missing(image) and not os.path.isfile(key):
        return make_missing_item(key, text)
    if isinstance(image, str) and is_url(image):
        return make_url_item(key, image, text)
    if isinstance(image, (str, os.PathLike)):
        path = os.path.abspath(image)
        found = make_item(MEMORY, path, partial(os.stat, path))
        if isinstance(found, ImageFailure) and os.path.isfile(key) and not os.path.exists(path):
            raise InvalidValue(
                f"Pairs are (key, image). Received: {os.fspath(image)!r}, which is no file, for "
                f"{key!r}, which is one.{_LABELLED}"
            )
        size, stamp = found.size, found.mtime_ns
        return ImageItem(key, MEMORY, text, size, stamp, PathPicture(path))
    if not is_picture(image):
        raise InvalidValue(
            "An image is an array, a Pillow image, the bytes of a file or a path. Received: "
            f"{type(image).__name__} for {key!r}.{_LABELLED if os.path.isfile(key) else ''}"
        )
    size = getattr(image, "nbytes", len(image) if isinstance(image, (bytes, bytearray)) else -1)
    return ImageItem(key, MEMORY, text, int(size), -1, HeldPicture(image, scale))


def make_missing_item(key: str, label: str | None) -> ImageItem:
    """Return the item for an image that a list or a table should name, but does not."""
    return ImageItem(key, MEMORY, label, -1, -1, _Missing())


class _Missing:
    """No image."""

    def read(self, item: ImageItem) -> bytes:
        raise ImageError("there is no path or picture")


def make_file_item(path: str, label: str | None) -> ImageItem:
    """Return the item for one file under its path or URL, whatever is there and may be its key."""
    if is_url(path):
        return make_url_item(public_url(path), path, label)
    found = make_item(MEMORY, path, partial(os.stat, path))
    return ImageItem(path, MEMORY, label, found.size, found.mtime_ns, _File(path))


class _File:
    """A file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, item: ImageItem) -> bytes:
        found = make_item(MEMORY, self._path, partial(os.stat, self._path))
        if isinstance(found, ImageFailure):
            raise OSError(found.reason)
        return Path(self._path).read_bytes()


class PathPicture(_File):
    """A file under a key that the caller chose."""

    def read(self, item: ImageItem) -> bytes:
        """Return the file's bytes."""
        check_key(item.key)
        return super().read(item)


def check_key(key: str) -> None:
    """Refuse a key that leads out of its folder; the absolute path of a picture is one, too.

    Raises:
        ImageError: Says why.

    Example:
        >>> check_key("/data/photos/1.jpg")
    """
    member_key(_ABSOLUTE.sub("", key))


_ABSOLUTE = re.compile(r"^([A-Za-z]:)?[\\\\/]+")
"""How absolute paths begin."""
