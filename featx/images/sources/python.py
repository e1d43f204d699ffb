"""Images passed in Python: paths, pictures, tables, datasets, or (key, image) one after the other.

The root of pictures is `MEMORY`. None of them ever counts as gone unless rows are to be pruned, and
what has been computed is recognised by its content. Paths are files as if they had been named.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.errors import InvalidType, InvalidValue
from featx.images.roots import MEMORY
from featx.images.sources.columns import TableRow, is_missing
from featx.images.sources.data_frames import is_data_frame, left_out_note, read_data_frame
from featx.images.sources.items import ImageItem, ImageSet
from featx.images.sources.keys import natural_key
from featx.images.sources.pictures import is_array, is_picture, make_picture_item
from featx.images.sources.pixels import (
    array_items,
    as_bytes,
    as_pictures,
    describe_type,
    label_texts,
)
from featx.images.sources.tables import ImageTable
from featx.images.sources.tf_datasets import gather_dataset
from featx.options import Scale
from featx.units import format_count

ORDERED = "an array, a list, a generator, a dictionary or a table of images"
"""What labels can be beside."""


@dataclass(frozen=True, slots=True)
class PathsGiven:
    """Paths that were passed in Python.

    Attributes:
        paths: N paths; None for one that is missing.
        labels: N labels; None where the folders that they are in say it.
        table: What a table says beside the paths.
    """

    paths: Sequence[str | None]
    labels: Sequence[str | None] | None = None
    table: ImageTable | None = None

    def leave_out(self) -> tuple[list[str], list[str | None] | None, tuple[str, ...]]:
        """Return the paths that are not missing, their labels, and a note about the others."""
        paths = [path for path in self.paths if path is not None]
        labels = self.labels
        if labels is not None:
            pairs = zip(self.paths, labels, strict=True)
            labels = [label for path, label in pairs if path is not None]
        missing = len(self.paths) - len(paths)
        return paths, labels, (left_out_note("the list", missing),) if missing else ()


def gather_images(
    images: Any, labels: Any = None, scale: Scale | None = None, *, in_order: bool = False
) -> ImageSet | PathsGiven:
    """Return an image set of objects, or the paths that they are.

    Args:
        images: As `featx.extract` takes them, but not a single location.
        labels: N labels.
        scale: What floats mean, see `featx.images.sources.pixels.as_bytes`.
        in_order: Whether each row of a table is an image, also one without a path.

    Raises:
        InvalidValue: If it is something else.

    Example:
        >>> found = gather_images(np.zeros((2, 8, 8, 3), np.uint8), labels=["cat", "dog"])
        >>> [(item.key, item.label) for item in found.items]
        [('00000', 'cat'), ('00001', 'dog')]
        >>> gather_images({"b.jpg", "a.jpg"}).paths
        ['a.jpg', 'b.jpg']
    """
    if _is_pair(images, scale):
        if labels is not None:
            raise InvalidValue("Labels were given twice: in images=(x, y) and as labels=.")
        images, labels = images
    labels = _as_labels(labels)
    if is_data_frame(images):
        return _gather_table(images, labels, scale, in_order)
    images = _as_list(images)
    if is_array(images) and not _is_one(images, scale):
        return _gather_array(np.asarray(images), labels, scale)
    if is_picture(images):  # One.
        images = [images]
    if hasattr(images, "as_numpy_iterator"):
        if labels is not None:
            raise InvalidValue(
                f"labels= belongs to {ORDERED}. A dataset brings its own: (image, label)."
            )
        return gather_dataset(images, scale)
    if isinstance(images, Mapping):
        return _stream(_with_labels(images.items(), labels, _size(images)), scale)
    if isinstance(images, Iterable):
        return _gather_iterable(images, labels, scale)
    raise InvalidValue(
        "Images are a path or several, an array (N, H, W, C), a picture or several, (key, image) "
        "one after the other, a table with a column of paths, or a tf.data.Dataset. Received: "
        f"{type(images).__name__}."
    )


def _is_pair(images: Any, scale: Scale | None) -> bool:
    """Whether images are ``(x, y)``: an array of pictures and their labels."""
    if not (isinstance(images, tuple) and len(images) == 2 and is_array(images[0])):
        return False
    return not _is_one(images[0], scale) and not (is_array(images[1]) and np.ndim(images[1]) > 2)


def _is_one(array: Any, scale: Scale | None) -> bool:
    """Whether an array is one picture: (H, W, C), or (H, W) unless it may be a table of numbers."""
    if np.ndim(array) == 2:
        return scale is not None or np.asarray(array).dtype == np.uint8
    return np.ndim(array) == 3 and np.shape(array)[2] in (1, 3, 4)


def _as_list(images: Any) -> Any:
    """Return a column of a data frame, an array of texts or of pictures, or a set as a list."""
    if isinstance(images, (set, frozenset)):
        return sorted(images, key=lambda one: natural_key(os.fspath(one)) if _is_path(one) else "")
    for name in ("to_pylist", "to_list"):  # Of Arrow; of pandas and polars.
        if hasattr(images, name):
            return getattr(images, name)()
    if is_array(images) and np.ndim(images) == 1 and np.asarray(images).dtype.kind in "OUST":
        return list(np.asarray(images))
    return images


def _as_labels(labels: Any) -> Any:
    """Return labels that come one after the other as a list.

    Raises:
        InvalidType: If they have no order, or are a single text.
    """
    if isinstance(labels, (str, bytes, Mapping, Set)):
        raise InvalidType(
            "labels= takes a list or an array: one label for each picture, in their order. "
            f"Received: {type(labels).__name__}."
        )
    return list(labels) if isinstance(labels, (Iterator, ValuesView)) else labels


def _gather_array(array: np.ndarray, labels: Any, scale: Scale | None) -> ImageSet:
    taken = as_bytes(array, scale)
    pictures, note = as_pictures(
        array if taken is None else taken, "The array", describe_type(array, scale)
    )
    items = array_items(pictures, label_texts(labels, len(pictures), "the array"), MEMORY, "", -1)
    return ImageSet(MEMORY, tuple(items), notes=(note,) if note else ())


def _gather_iterable(
    images: Iterable[Any], labels: Any, scale: Scale | None
) -> ImageSet | PathsGiven:
    """Take what comes one after the other: all of it paths, or pictures with or without keys."""
    count = _size(images)
    coming = iter(images)
    first = []
    for one in coming:
        first.append(one)
        if not is_missing(one):
            break
    if not first or is_missing(first[-1]) or not _is_path(first[-1]):
        pictures = _number(itertools.chain(first, coming))
        return _stream(_with_labels(pictures, labels, count), scale)
    paths = first + list(coming)
    for number, path in enumerate(paths):
        if not _is_path(path) and not is_missing(path):
            raise InvalidValue(
                f"Images are all paths, or all pictures. Received: a path first, and "
                f"{type(path).__name__} at position {number}."
            )
    texts = [None if is_missing(path) else os.fspath(path) for path in paths]
    if labels is None:
        return PathsGiven(texts)
    return PathsGiven(texts, label_texts(labels, len(texts), "the paths"))


def _gather_table(
    frame: Any, labels: Any, scale: Scale | None, in_order: bool
) -> ImageSet | PathsGiven:
    table, pictures = read_data_frame(frame, all_rows=in_order)
    if labels is not None and table.labels is not None:
        raise InvalidValue("Labels were given twice: in a column of the table and as labels=.")
    names = table.labels if labels is None else label_texts(labels, len(pictures), "the table")
    if all(picture is None or _is_path(picture) for picture in pictures):
        paths = [None if picture is None else os.fspath(picture) for picture in pictures]
        return PathsGiven(paths, names, table)

    def follow() -> Iterator[ImageItem]:
        for number, picture in enumerate(pictures):
            label = None if names is None else names[number]
            item = make_picture_item(f"{number:05d}", picture, label, scale)
            row = TableRow(table.columns, number) if table.columns else None
            split = None if table.splits is None else table.splits[number]
            yield replace(item, row=row, split=split)

    return ImageSet(MEMORY, (), notes=table.notes, stream=follow())


def _stream(pairs: Iterator[Any], scale: Scale | None) -> ImageSet:
    return ImageSet(MEMORY, (), stream=_check_keys(_follow_pairs(pairs, scale)))


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


def _number(images: Iterable[Any]) -> Iterator[Any]:
    """Yield pictures that come without a key as (key, image): numbers are the keys."""
    for number, image in enumerate(images):
        yield (f"{number:05d}", image) if is_picture(image) or is_missing(image) else image


def _with_labels(pairs: Iterable[Any], labels: Any, count: int | None) -> Iterator[Any]:
    """Return pairs of key and image with their labels.

    Raises:
        InvalidValue: If there are more or fewer labels: before the first image where their number
            is known, otherwise behind the last one.
    """
    if labels is None:
        return iter(pairs)
    total = np.shape(labels)[0] if count is None else count
    return _label(pairs, label_texts(labels, total, "the images"))


def _label(pairs: Iterable[Any], names: Sequence[str | None]) -> Iterator[Any]:
    number = -1
    for number, pair in enumerate(pairs):
        if isinstance(pair, (tuple, list)) and len(pair) == 3:
            raise InvalidValue("Labels were given twice: with the images and as labels=.")
        if number < len(names):
            yield (*pair, names[number]) if isinstance(pair, (tuple, list)) else pair
    if number + 1 != len(names):
        raise InvalidValue(
            f"Labels are one for each picture. Received: {format_count(len(names), 'label')} for "
            f"{format_count(number + 1, 'picture')}."
        )


def _follow_pairs(pairs: Iterable[Any], scale: Scale | None) -> Iterator[ImageItem]:
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) not in (2, 3):
            raise InvalidValue(
                "Images come as paths, as pictures, or as (key, image) or (key, image, label). "
                f"Received: {type(pair).__name__}"
                + (f" of {len(pair)} values." if isinstance(pair, (tuple, list)) else ".")
            )
        yield make_picture_item(pair[0], pair[1], pair[2] if len(pair) == 3 else None, scale)


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _size(images: Any) -> int | None:
    return len(images) if hasattr(images, "__len__") else None
