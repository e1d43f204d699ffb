"""`gather`: images of any kind, locations or objects, as one set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np

from featx.checks.flags import check_flag
from featx.errors import InvalidValue, join_names
from featx.images.roots import MEMORY
from featx.images.sources.finding import find_images
from featx.images.sources.items import ImageSet
from featx.images.sources.request import IsStored, Table, is_never_stored
from featx.options import Scale, Selection
from featx.wording import option

if TYPE_CHECKING:
    from featx.images.sources.python import PathsGiven


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


class DataFrame(Protocol):
    """A data frame of pandas or polars: a table with a column of paths or pictures."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and of columns."""
        ...


class ArrowTable(Protocol):
    """A table of Arrow with a column of paths or pictures."""

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        ...

    def column(self, i: int) -> Any:
        """Return a column."""
        ...


Location: TypeAlias = str | os.PathLike[str]
"""A path, a glob, or a URL."""

Label: TypeAlias = str | bytes | int | np.integer[Any] | None
"""The class of one image, by name or number; None where it has none."""

Labels: TypeAlias = Sequence[Label] | Array
"""N labels of images that come in an order: an array, a list, a table, ..."""

Picture: TypeAlias = Array | PillowImage | bytes | bytearray | memoryview | Location
"""One image: pixels (H, W) or (H, W, C), a Pillow image, the bytes of a file, or a path."""

Images: TypeAlias = (
    Location
    | Iterable[Location | None]
    | Array
    | PillowImage
    | bytes
    | tuple[Array, Labels]
    | DataFrame
    | ArrowTable
    | Dataset
    | Mapping[str, Picture | None]
    | Iterable[Array | PillowImage | bytes | None]
    | Iterable[tuple[str, Picture] | tuple[str, Picture, Label]]
)
"""Locations or objects, as `featx.extract`, `featx.predict` and `featx.search` take them; described
at `featx.extract`."""

EVERYTHING = Selection()
"""All images of a source."""


def gather(
    images: Images,
    *,
    labels: Labels | None = None,
    selection: Selection = EVERYTHING,
    scale: Scale | None = None,
    in_order: bool = False,
    allow_download: bool = False,
    is_stored: IsStored = is_never_stored,
) -> ImageSet:
    """Return the images that an argument names: those at locations, or objects.

    Args:
        images: See `featx.extract`.
        labels: N labels of images that come in an order.
        selection: Which of the images found are wanted.
        scale: See `RunOptions`.
        in_order: Whether several paths are one image each, in the order given; otherwise they are
            locations, and their images come in natural order.
        allow_download: Also fetch pictures from servers that only a table names.
        is_stored: See `featx.images.sources.request.IsStored`.

    Raises:
        ImagesNotFound: If there are none.
        InvalidValue: If the arguments contradict each other.

    Example:
        >>> from featx.testing import write_images
        >>> len(gather(write_images(3)).items)
        3
    """
    check_flag("allow_download", allow_download)
    find = partial(_find, selection=selection, allow_download=allow_download, is_stored=is_stored)
    found = _gather(images, labels, selection, scale, in_order, find)
    if selection.class_names is None:
        return found
    from featx.images.sources.numbered_classes import name_classes

    return name_classes(found, selection.class_names)


def _gather(
    images: Images,
    labels: Labels | None,
    selection: Selection,
    scale: Scale | None,
    in_order: bool,
    find: Callable[..., ImageSet],
) -> ImageSet:
    """Return the images that an argument names, with the labels that they bring."""
    is_empty = isinstance(images, (list, tuple)) and not images
    is_default = is_empty or (isinstance(images, str) and images == ".")
    if selection.image_list is not None and is_default:
        images = ()
    elif not is_empty and not _are_locations(images, labels, in_order):
        return _gather_objects(images, labels, selection, scale, in_order, find)
    if labels is not None:
        from featx.images.sources.python import ORDERED

        raise InvalidValue(
            f"labels= belongs to {ORDERED}. Files bring theirs: class folders, or a manifest in "
            "CSV with the columns path and label."
        )
    named = cast(str | Path | Sequence[str | Path], images)
    return find(named)


def _are_locations(images: Images, labels: Labels | None, in_order: bool) -> bool:
    """Whether images are a location, or a list of locations, which needs nothing of objects.

    An empty text in a list is a row without a path, of which more is to be said.
    """
    if isinstance(images, (str, os.PathLike)):
        return True
    if labels is not None or in_order or not isinstance(images, (list, tuple)):
        return False
    return all(isinstance(one, str) and one.strip() for one in images)


def _gather_objects(
    images: Any,
    labels: Labels | None,
    selection: Selection,
    scale: Scale | None,
    in_order: bool,
    find: Callable[..., ImageSet],
) -> ImageSet:
    from featx.images.sources.python import PathsGiven, gather_images

    found = gather_images(images, labels, scale, in_order=in_order)
    if isinstance(found, PathsGiven):
        if in_order:
            return _list_in_order(found)
        paths, labels, notes = found.leave_out()
        if labels is None and found.table is None:
            listed = find(paths)
        else:
            from featx.images.sources.manifests import make_table

            table = make_table(paths, labels, found.table)
            listed = find((), table=table)
        return replace(listed, notes=(*listed.notes, *notes))
    if replace(selection, class_names=None) != EVERYTHING:
        names = [option(name) for name in ("exclude", "image_list", "split", "frame")]
        raise InvalidValue(
            f"{join_names(names, conjunction='and')} choose among files. Choose among objects in "
            "Python."
        )
    return found


def _find(
    paths: str | Path | Sequence[str | Path],
    *,
    selection: Selection,
    allow_download: bool,
    is_stored: IsStored,
    table: Table | None = None,
) -> ImageSet:
    return find_images(
        paths,
        exclude=selection.exclude,
        image_list=selection.image_list,
        split=selection.split,
        frame=selection.frame,
        table=table,
        allow_download=allow_download,
        is_stored=is_stored,
    )


def _list_in_order(given: PathsGiven) -> ImageSet:
    """Return paths as images, one each; the keys are the paths, of which one may come twice."""
    from featx.images.sources.pictures import make_file_item, make_missing_item

    labels = given.labels or [None] * len(given.paths)
    items = [
        make_missing_item(f"position {number}", label)
        if path is None
        else make_file_item(path, label)
        for number, (path, label) in enumerate(zip(given.paths, labels, strict=True))
    ]
    return ImageSet(MEMORY, tuple(items))
