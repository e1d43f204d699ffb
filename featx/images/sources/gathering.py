"""`gather`: images of any kind, places or objects, as one set."""

from __future__ import annotations

import os
from typing import Any

from featx.errors import InvalidValue
from featx.images.sources.finding import find_images
from featx.images.sources.items import ImageSet
from featx.options import Selection

Images = Any
"""What `featx.extract`, `predict` and `search` take: places (text or paths, or several of them), or
arrays, datasets and iterables; described at `featx.extract`."""


EVERYTHING = Selection()
"""All images of a source."""


def gather(images: Images, *, labels: Any = None, selection: Selection = EVERYTHING) -> ImageSet:
    """Return the images that an argument means: those found at places, or objects.

    Args:
        images: See `featx.extract`.
        labels: N labels of an array of images.
        selection: Which of the images found are wanted.

    Raises:
        ImagesNotFound: If there are none.
        InvalidValue: If something does not go together.

    Example:
        >>> from featx.testing import write_images
        >>> len(gather(write_images(3)).items)
        3
    """
    is_empty = isinstance(images, (list, tuple)) and not images
    is_default = is_empty or (isinstance(images, str) and images == ".")
    if selection.image_list is not None and is_default:
        images = ()
    elif not isinstance(images, (str, os.PathLike)):
        from featx.images.sources.python import gather_images, is_in_python

        if is_in_python(images):
            if selection != EVERYTHING:
                raise InvalidValue(
                    "--exclude, --image-list, --split and --frame choose among files. Choose among "
                    "objects in Python."
                )
            return gather_images(images, labels)
    if labels is not None:
        raise InvalidValue(
            "labels= belongs to an array of images. Files bring theirs: class folders, or a "
            "manifest in CSV with the columns path and label."
        )
    return find_images(
        images,
        exclude=selection.exclude,
        image_list=selection.image_list,
        split=selection.split,
        frame=selection.frame,
    )
