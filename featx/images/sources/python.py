"""Images passed in Python: arrays, a tf.data.Dataset, or (key, image) one after the other.

Their root is `MEMORY`. None of them ever counts as gone unless rows are to be pruned, and what has
been computed is recognised by its content.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import ImageError, InvalidValue
from featx.images.roots import MEMORY
from featx.images.sources.element_keys import SHUFFLED_NOTE, ContentKeys, NumberKeys, shuffles
from featx.images.sources.folders import make_item
from featx.images.sources.items import ImageFailure, ImageItem, ImageSet
from featx.images.sources.keys import member_key
from featx.images.sources.pixels import (
    array_items,
    as_pictures,
    describe_type,
    encode_pixels,
    label_text,
    label_texts,
    take_whole_numbers,
)


def is_in_python(images: Any) -> bool:
    """Whether images are objects, not locations to find them at.

    Example:
        >>> is_in_python("photos"), is_in_python(np.zeros((1, 2, 2), np.uint8))
        (False, True)
    """
    if isinstance(images, (str, os.PathLike)):
        return False
    if isinstance(images, (list, tuple)):
        return any(not isinstance(one, (str, os.PathLike)) for one in images[:1])
    return True


def gather_images(images: Any, labels: Any = None) -> ImageSet:
    """Return an image set of objects.

    Args:
        images: An array uint8 (N, H, W) or (N, H, W, C), or such an array and its labels (also of
            floats, where `featx.images.sources.pixels.take_whole_numbers` makes uint8 of them); a
            ``tf.data.Dataset`` of images, or of images and labels, in batches or not; a mapping of
            key → image, or an iterable of (key, image) or (key, image, label), where an image is
            an array, a Pillow image, the bytes of a file or a path. Of arrays, Pillow images and
            bytes the key may be left out: they are numbered.
        labels: N labels of an array.

    Raises:
        InvalidValue: If it is something else.

    Example:
        >>> found = gather_images(np.zeros((2, 8, 8, 3), np.uint8), labels=["cat", "dog"])
        >>> [(item.key, item.label) for item in found.items]
        [('00000', 'cat'), ('00001', 'dog')]
    """
    if isinstance(images, tuple) and len(images) == 2 and _is_array(images[0]):
        if labels is not None:
            raise InvalidValue("Labels were given twice: in images=(x, y) and as labels=.")
        images, labels = images
    if _is_array(images):
        array = np.asarray(images)
        whole = take_whole_numbers(array)
        pictures, note = as_pictures(array if whole is None else whole, "The array")
        names = label_texts(labels, len(pictures), "The array")
        items = array_items(pictures, names, MEMORY, "", -1)
        return _image_set(items, [note] if note else [])
    if labels is not None:
        raise InvalidValue(
            "labels= belongs to an array of images. Other sources bring their own: (key, image, "
            "label), a dataset of (image, label), class folders or a manifest."
        )
    if hasattr(images, "as_numpy_iterator"):
        return _gather_dataset(images)
    if isinstance(images, Mapping):
        return _image_set((), [], _follow_pairs(images.items()))
    if isinstance(images, Iterable):
        return _image_set((), [], _follow_pairs(_number_pictures(images)))
    raise InvalidValue(
        "Images are a path or several, an array (N, H, W, C), a tf.data.Dataset, or arrays, Pillow "
        f"images or (key, image) one after the other. Received: {type(images).__name__}."
    )


def _gather_dataset(dataset: Any) -> ImageSet:
    """Return the image set of a dataset, with keys that mean the same picture the next time."""
    if shuffles(dataset):
        return _image_set((), [SHUFFLED_NOTE], _follow_dataset(dataset, ContentKeys()))
    found = _image_set((), [], _follow_dataset(dataset, NumberKeys()))
    return replace(found, keys_are_numbers=True)


def _image_set(
    items: Iterable[ImageItem], notes: Iterable[str], stream: Iterator[ImageItem] | None = None
) -> ImageSet:
    return ImageSet(
        root=MEMORY,
        items=tuple(items),
        notes=tuple(notes),
        stream=None if stream is None else _check_keys(stream),
    )


def _is_array(value: Any) -> bool:
    """Whether a value is an array, of NumPy or of a library that NumPy can read."""
    return isinstance(value, np.ndarray) or (
        hasattr(value, "__array__") and hasattr(value, "shape") and hasattr(value, "dtype")
    )


def _check_keys(items: Iterator[ImageItem]) -> Iterator[ImageItem]:
    seen = set()
    for item in items:
        if item.key in seen:
            raise InvalidValue(
                f"Each image has a key of its own. Received: {item.key!r} a second time. What was "
                "computed before it is kept."
            )
        seen.add(item.key)
        yield item


# ---- one after the other ----


class HeldPicture:
    """One picture in memory.

    Args:
        image: An array, a Pillow image, or the bytes of a file.
    """

    def __init__(self, image: Any) -> None:
        self._image = image

    def read(self, item: ImageItem) -> bytes:
        """Return it as the bytes of an image file."""
        member_key(item.key)
        image = self._image
        if isinstance(image, (bytes, bytearray, memoryview)):
            return bytes(image)
        if not _is_array(image):
            return encode_picture(image)
        pixels = np.asarray(image)
        whole = take_whole_numbers(pixels)
        pixels = pixels if whole is None else whole
        if pixels.dtype != np.uint8:
            raise ImageError(f"pixels of type {pixels.dtype}. {describe_type(pixels.dtype)}")
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


def _make_item(key: Any, image: Any, label: Any) -> ImageItem:
    if not isinstance(key, str) or not key:
        raise InvalidValue(
            "A key is a text, such as 'cats/1.jpg': the image's name in the store. Received: "
            f"{key!r}."
        )
    text = label_text(label)
    if isinstance(image, (str, os.PathLike)):
        path = os.path.abspath(image)
        found = make_item(MEMORY, path, partial(os.stat, path))
        size, stamp = found.size, found.mtime_ns
        return ImageItem(key, MEMORY, text, size, stamp, _PathPicture(path))
    if not _is_picture(image):
        raise InvalidValue(
            "An image is an array, a Pillow image, the bytes of a file or a path. Received: "
            f"{type(image).__name__} for {key!r}."
        )
    size = getattr(image, "nbytes", len(image) if isinstance(image, (bytes, bytearray)) else -1)
    return ImageItem(key, MEMORY, text, int(size), -1, HeldPicture(image))


class _PathPicture:
    """A file under a key that the caller chose."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, item: ImageItem) -> bytes:
        member_key(item.key)
        found = make_item(MEMORY, self._path, partial(os.stat, self._path))
        if isinstance(found, ImageFailure):
            raise OSError(found.reason)
        return Path(self._path).read_bytes()


def _number_pictures(images: Iterable[Any]) -> Iterator[Any]:
    """Yield pictures that come without a key as (key, image): numbers are the keys."""
    for number, image in enumerate(images):
        yield (f"{number:05d}", image) if _is_picture(image) else image


def _is_picture(value: Any) -> bool:
    is_held = _is_array(value) or isinstance(value, (bytes, bytearray, memoryview))
    return is_held or (hasattr(value, "mode") and hasattr(value, "has_transparency_data"))


def _follow_pairs(pairs: Iterable[Any]) -> Iterator[ImageItem]:
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) not in (2, 3):
            raise InvalidValue(
                "Images come as (key, image) or (key, image, label). Received: "
                f"{type(pair).__name__}"
                + (f" of {len(pair)} values." if isinstance(pair, (tuple, list)) else ".")
            )
        yield _make_item(pair[0], pair[1], pair[2] if len(pair) == 3 else None)


def _follow_dataset(dataset: Any, key_of: Callable[[Any], str]) -> Iterator[ImageItem]:
    has_floats = False
    for element in dataset.as_numpy_iterator():
        images, labels = _split_element(element)
        if not isinstance(images, bytes) and np.asarray(images).dtype.kind not in "uOS":
            array = np.asarray(images)
            images = take_whole_numbers(array, is_known_range=has_floats)
            has_floats = True  # The first of them has shown their range.
            if images is None:
                raise InvalidValue(f"The dataset gives {array.dtype}. {describe_type(array.dtype)}")
        for image, label in _unbatch(images, labels):
            yield _make_item(key_of(image), image, label)


def _split_element(element: Any) -> tuple[Any, Any]:
    """Return the images and labels of one element of a dataset."""
    if isinstance(element, Mapping):
        images = next((element[name] for name in ("image", "images", "x") if name in element), None)
        labels = next((element[name] for name in ("label", "labels", "y") if name in element), None)
    elif isinstance(element, (tuple, list)):
        images, labels = element[0], element[1] if len(element) > 1 else None
    else:
        images, labels = element, None
    if images is None or isinstance(images, (tuple, list, Mapping)):
        raise InvalidValue(
            "A dataset gives images, or (image, label), or a dict with 'image' and 'label'. "
            f"Received: {type(element).__name__}. Use dataset.map to bring it into that form."
        )
    return images, labels


def _unbatch(images: Any, labels: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the images of a batch, or the one image that an element is."""
    array = np.asarray(images)
    is_encoded = array.dtype.kind in "OS"
    is_batch = (
        array.ndim == 1
        if is_encoded
        else array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
    )
    if not is_batch:
        yield images, None if labels is None else label_texts([labels], 1, "the dataset")[0]
        return
    names = label_texts(labels, len(array), "the dataset")
    yield from zip(array, names, strict=True)
