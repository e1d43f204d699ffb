"""Pixels and labels in arrays, whether these come from files or were passed in Python."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.errors import InvalidValue
from featx.images.roots import Root
from featx.images.sources.items import ImageItem, Reader
from featx.options import Scale


class ArrayReader:
    """Reads the pictures of one array as uncompressed image files (PPM).

    Args:
        pictures: uint8 (N, H, W) or (N, H, W, C).
        prefix: Beginning of the keys, before the number.
    """

    def __init__(self, pictures: np.ndarray, prefix: str) -> None:
        self.pictures = pictures
        self.prefix = prefix

    def of_keys(self, keys: Collection[str]) -> Reader:
        """Return a reader of some pictures; see `Divisible`."""
        return _SomePictures({key: np.array(self._picture(key)) for key in keys})

    def read(self, item: ImageItem) -> bytes:
        """Return one picture."""
        return encode_pixels(self._picture(item.key))

    def _picture(self, key: str) -> np.ndarray:
        picture: np.ndarray = self.pictures[int(key[len(self.prefix) :])]
        return picture


@dataclass(frozen=True, slots=True)
class _SomePictures:
    """Reads a few pictures that were taken out of an array."""

    pictures: Mapping[str, np.ndarray]

    def read(self, item: ImageItem) -> bytes:
        return encode_pixels(self.pictures[item.key])


def array_items(
    pictures: np.ndarray,
    labels: Sequence[str | None],
    root: Root,
    prefix: str,
    mtime_ns: int,
    split: str | None = None,
) -> list[ImageItem]:
    """Return an item for each picture of an array."""
    reader = ArrayReader(pictures, prefix)
    size = int(np.prod(pictures.shape[1:]))
    return [
        ImageItem(f"{prefix}{number:05d}", root, label, size, mtime_ns, reader, split)
        for number, label in enumerate(labels)
    ]


def encode_pixels(pixels: np.ndarray) -> bytes:
    """Return pixels as the bytes of an image file, which never change for the same pixels.

    Args:
        pixels: uint8 (H, W) or (H, W, C) with 1, 3 or 4 channels.

    Example:
        >>> encode_pixels(np.zeros((1, 2, 3), np.uint8))
        b'P6\\n2 1\\n255\\n\\x00\\x00\\x00\\x00\\x00\\x00'
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    # PPM: the bytes of a compressed format, and so the content hash, may change with the version
    # of a library. "PyRGBA" is Pillow's own.
    magic = {1: "P5", 3: "P6", 4: "PyRGBA"}[channels]
    return f"{magic}\n{width} {height}\n255\n".encode() + np.ascontiguousarray(pixels).tobytes()


def as_pictures(array: np.ndarray, name: str, advice: str) -> tuple[np.ndarray, str | None]:
    """Return an array as (N, H, W) or (N, H, W, C), and a note for the user or None.

    Args:
        array: uint8 (N, H, W), (N, H, W, 1|3|4), or channels first: (N, 1|3, H, W).
        name: What it is, for messages.
        advice: What to do if it is not uint8.

    Raises:
        InvalidValue: If it holds no 8-bit pixels, or has another shape.
    """
    if array.dtype != np.uint8 and array.ndim in (3, 4):
        raise InvalidValue(f"{name} holds {array.dtype}. {advice}")
    shape = "x".join(map(str, array.shape))
    if array.ndim == 3 and array.shape[2] not in (3, 4):
        return array, None
    if array.ndim == 4 and array.shape[3] in (1, 3, 4):
        return array, None
    if array.ndim == 4 and array.shape[1] in (1, 3):
        note = f"{name} ({shape}) has its channels first: read as (N, C, H, W)"
        return array.transpose(0, 2, 3, 1), note
    hint = ""
    if array.ndim == 3:
        hint = " This looks like one picture: add an axis in front, pixels[np.newaxis]."
    raise InvalidValue(
        f"Pictures come as an array of shape (N, H, W) or (N, H, W, C) with 1, 3 or 4 channels. "
        f"Received: {name} of shape ({', '.join(map(str, array.shape))}).{hint}"
    )


def as_bytes(
    array: np.ndarray, scale: Scale | None = None, *, is_known_range: bool = False
) -> np.ndarray | None:
    """Return floats as uint8; None if it is not known how, or if they are no floats.

    Without `scale` only where that changes no value, and one is above 1: 0 and 1 alone may be black
    and white in [0, 1].

    Args:
        array: Pixels of any shape and type.
        scale: What floats mean: ``unit`` are those in [0, 1], ``byte`` those in [0, 255].
        is_known_range: Whether earlier pictures of the same source were in [0, 255].

    Example:
        >>> as_bytes(np.array([0.0, 255.0])), as_bytes(np.array([0.5, 255.0]))
        (array([  0, 255], dtype=uint8), None)
        >>> as_bytes(np.array([0.0, 0.5, 1.0]), "unit")
        array([  0, 128, 255], dtype=uint8)
    """
    if not np.issubdtype(array.dtype, np.floating) or not array.size:
        return None
    white = 1 if scale == "unit" else 255
    step = white / 255 / 2 if scale else 0  # Half a step is rounded away.
    if not (array.min() >= -step and array.max() <= white + step):  # False for NaN, too.
        return None
    if scale is not None:
        # One picture after the other: the copies in between are as large as what they are of.
        pictures = array if array.ndim == 4 else array[np.newaxis]
        scaled = [
            np.clip(np.rint(one.astype(np.float32) * (255 / white)), 0, 255).astype(np.uint8)
            for one in pictures
        ]
        return np.stack(scaled).reshape(array.shape)
    if not is_known_range and array.max() <= 1:
        return None
    whole = array.astype(np.uint8)
    return whole if np.array_equal(whole, array) else None


FLOATS_IN_FILES = (
    "featx takes pixels in files as uint8 in [0, 255] and scales them as the model wants. Of "
    "floats in [0, 255] make x.round().astype('uint8'), of floats in [0, 1] the same of x * 255."
)


def describe_type(array: np.ndarray, scale: Scale | None = None) -> str:
    """Return advice about pixels that are not uint8."""
    if np.issubdtype(array.dtype, np.floating) and scale is not None and array.size:
        white = 1 if scale == "unit" else 255
        return (
            f"With scale={scale!r} they are from 0 to {white}. Received: {array.min():g} to "
            f"{array.max():g}."
        )
    if np.issubdtype(array.dtype, np.floating):
        return (
            "featx takes pixels as uint8 in [0, 255]. What do these floats mean? Say scale='unit' "
            "where white is 1 (x * 255 is then rounded), scale='byte' where white is 255. Unasked, "
            "floats are taken where all are whole numbers of [0, 255], and one is above 1; Keras's "
            "image_dataset_from_directory gives such with interpolation='nearest', others after "
            ".map(lambda x, y: (tf.cast(tf.round(x), tf.uint8), y))."
        )
    return (
        "featx takes pixels as uint8 in [0, 255]: convert with x.astype('uint8') if they are in "
        "that range."
    )


def label_texts(labels: Any, count: int, name: str) -> list[str | None]:
    """Return labels as texts, None for no label.

    Args:
        labels: N numbers or texts, shape (N,) or (N, 1), or None.
        count: N.
        name: The pictures that they belong to, for messages.

    Raises:
        InvalidValue: If they are not one for each picture.
    """
    if labels is None:
        return [None] * count
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (count,):
        hint = ""
        if array.ndim == 2 and len(array) == count:
            hint = " Of one-hot rows take labels.argmax(axis=1)."
        raise InvalidValue(
            f"Labels are one for each picture, shape ({count},). Received: shape {array.shape} "
            f"for {name}.{hint}"
        )
    return [label_text(value) for value in array.tolist()]


def label_text(value: Any) -> str | None:
    """Return one label as text; None if there is none.

    Example:
        >>> label_text(3), label_text(b"cat"), label_text(None)
        ('3', 'cat', None)
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float) and value != value:  # As pandas has it where there is none.
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (str, int, np.integer)):
        raise InvalidValue(f"A label is a text or a whole number. Received: {value!r}.")
    return sys.intern(str(value)) or None
