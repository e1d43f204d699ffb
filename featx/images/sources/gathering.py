"""`gather`: images of any kind, locations or objects, as one set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from featx.errors import InvalidValue
from featx.images.sources.finding import find_images
from featx.images.sources.items import ImageSet
from featx.options import Selection
from featx.wording import option


class Array(Protocol):
    """An array, of NumPy or of a library whose arrays NumPy can read, such as TensorFlow."""

    @property
    def shape(self) -> Any:
        """The length of each axis."""
        ...

    @property
    def dtype(self) -> Any:
        """The type of the values."""
        ...

    def __array__(self) -> np.ndarray:
        """Return the values as an array of NumPy."""
        ...


class Dataset(Protocol):
    """A ``tf.data.Dataset`` of images, or of images and labels, in batches or not."""

    def as_numpy_iterator(self) -> Iterator[Any]:
        """Yield the elements as arrays of NumPy."""
        ...


class PillowImage(Protocol):
    """An image that Pillow has opened: a ``PIL.Image.Image``."""

    @property
    def mode(self) -> str:
        """How pixels are held, such as ``RGB``."""
        ...

    @property
    def has_transparency_data(self) -> bool:
        """Whether pixels may be transparent."""
        ...


Location: TypeAlias = str | os.PathLike[str]
"""A path, a glob, or a URL."""

Label: TypeAlias = str | bytes | int | np.integer[Any] | None
"""The class of one image, by name or number; None where it has none."""

Labels: TypeAlias = Sequence[Label] | Array
"""N labels of an array of images."""

Picture: TypeAlias = Array | PillowImage | bytes | bytearray | memoryview | Location
"""One image: pixels (H, W) or (H, W, C), a Pillow image, the bytes of a file, or a path."""

Images: TypeAlias = (
    Location
    | Sequence[Location]
    | Array
    | tuple[Array, Labels]
    | Dataset
    | Mapping[str, Picture]
    | Iterable[Array | PillowImage | bytes]
    | Iterable[tuple[str, Picture] | tuple[str, Picture, Label]]
)
"""Locations or objects, as `featx.extract`, `featx.predict` and `featx.search` take them; described
at `featx.extract`."""

EVERYTHING = Selection()
"""All images of a source."""


def gather(
    images: Images, *, labels: Labels | None = None, selection: Selection = EVERYTHING
) -> ImageSet:
    """Return the images that an argument names: those at locations, or objects.

    Args:
        images: See `featx.extract`.
        labels: N labels of an array of images.
        selection: Which of the images found are wanted.

    Raises:
        ImagesNotFound: If there are none.
        InvalidValue: If the arguments contradict each other.

    Example:
        >>> from featx.testing import write_images
        >>> len(gather(write_images(3)).items)
        3
    """
    found = _gather(images, labels, selection)
    if selection.class_names is None:
        return found
    from featx.images.sources.numbered_classes import name_classes

    return name_classes(found, selection.class_names)


def _gather(images: Images, labels: Labels | None, selection: Selection) -> ImageSet:
    """Return the images that an argument names, with the labels that they bring."""
    is_empty = isinstance(images, (list, tuple)) and not images
    is_default = is_empty or (isinstance(images, str) and images == ".")
    if selection.image_list is not None and is_default:
        images = ()
    elif not isinstance(images, (str, os.PathLike)):
        from featx.images.sources.python import gather_images, is_in_python

        if is_in_python(images):
            if replace(selection, class_names=None) != EVERYTHING:
                raise InvalidValue(
                    f"{option('exclude')}, {option('image_list')}, {option('split')} and "
                    f"{option('frame')} choose among files. Choose among objects in Python."
                )
            return gather_images(images, labels)
    if labels is not None:
        raise InvalidValue(
            "labels= belongs to an array of images. Files bring theirs: class folders, or a "
            "manifest in CSV with the columns path and label."
        )
    return find_images(
        cast(str | Path | Sequence[str | Path], images),
        exclude=selection.exclude,
        image_list=selection.image_list,
        split=selection.split,
        frame=selection.frame,
    )
