"""Images of a ``tf.data.Dataset``, or of anything else with `as_numpy_iterator`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from featx.errors import InvalidValue
from featx.images.roots import MEMORY
from featx.images.sources.element_keys import SHUFFLED_NOTE, ContentKeys, NumberKeys, shuffles
from featx.images.sources.items import ImageItem, ImageSet
from featx.images.sources.pictures import make_picture_item
from featx.images.sources.pixels import as_bytes, describe_type, label_texts
from featx.options import Scale


def gather_dataset(dataset: Any, scale: Scale | None = None) -> ImageSet:
    """Return the image set of a dataset, with keys that mean the same picture the next time."""
    if shuffles(dataset):
        stream = _follow(dataset, ContentKeys(), scale)
        return ImageSet(MEMORY, (), notes=(SHUFFLED_NOTE,), stream=stream)
    stream = _follow(dataset, NumberKeys(), scale)
    return ImageSet(MEMORY, (), stream=stream, keys_are_numbers=True)


def _follow(dataset: Any, key_of: Callable[[Any], str], scale: Scale | None) -> Iterator[ImageItem]:
    has_floats = False
    for element in dataset.as_numpy_iterator():
        images, labels = _split_element(element)
        if not isinstance(images, bytes) and np.asarray(images).dtype.kind not in "uOS":
            array = np.asarray(images)
            images = as_bytes(array, scale, is_known_range=has_floats)
            has_floats = True  # The first of them has shown their range.
            if images is None:
                raise InvalidValue(
                    f"The dataset gives {array.dtype}. {describe_type(array, scale)}"
                )
        for image, label in _unbatch(images, labels):
            yield make_picture_item(key_of(image), image, label)


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
