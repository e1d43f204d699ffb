"""Names for classes that are numbers, as those of arrays are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from featx.class_lists import read_class_list
from featx.errors import InvalidValue
from featx.images.sources.items import ImageItem, ImageSet
from featx.units import format_count
from featx.wording import option


def name_classes(found: ImageSet, names: str | Path | Sequence[str]) -> ImageSet:
    """Return images whose labels are names instead of numbers.

    Args:
        found: Images; their labels are whole numbers from 0, or None.
        names: The names in the order of the numbers, or a file of them, see
            `featx.class_lists.read_class_list`.

    Raises:
        InvalidValue: If a label is something else, or has no name.
    """
    if isinstance(names, (str, os.PathLike)):
        classes, source = [name for name, _ in read_class_list(names)], repr(str(names))
    else:
        classes, source = list(names), "class_names"
    classes = [sys.intern(name) for name in classes]

    def rename(items: Iterator[ImageItem]) -> Iterator[ImageItem]:
        for item in items:
            yield replace(item, label=_find_name(item, classes, source))

    return replace(
        found,
        items=tuple(rename(iter(found.items))),
        stream=None if found.stream is None else rename(found.stream),
    )


def _find_name(item: ImageItem, classes: Sequence[str], source: str) -> str | None:
    label = item.label
    if label is None:
        return None
    if not (label.isascii() and label.isdigit()):
        raise InvalidValue(
            f"{option('class_names')} names classes that are numbers: 0, 1, 2 and so on. Received: "
            f"{label!r}, the class of {item.key!r}. Leave it out."
        )
    if int(label) >= len(classes):
        raise InvalidValue(
            f"{source} has {format_count(len(classes), 'name')}, for the classes from 0 to "
            f"{len(classes) - 1:,}. Received: {label}, the class of {item.key!r}."
        )
    return classes[int(label)]
