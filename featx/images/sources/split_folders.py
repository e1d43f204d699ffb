"""Folders called train, val or test with class folders inside: they are splits, not classes."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from featx.images.sources.items import ImageItem
from featx.images.sources.keys import label_of, natural_key
from featx.images.sources.splits import SPLITS, find_split
from featx.units import format_count

SHOWN_FOLDERS = 6


@dataclass(frozen=True, slots=True)
class Group:
    """Images of one location whose labels are the names of their folders.

    Attributes:
        name: The location's name if it is a folder or an archive, else empty.
        prefix: Beginning of their keys up to the location, with ``/``; empty for the root.
        items: The images.
    """

    name: str
    prefix: str
    items: Sequence[ImageItem]


@dataclass(frozen=True, slots=True)
class Division:
    """Images with the class and the split that their folders say.

    Attributes:
        items: Key → the image.
        note: Says so to a person, in a line.
    """

    items: Mapping[str, ImageItem]
    note: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a picture is in a split.

    Attributes:
        folder: The folder of the split.
        split: Which split that is.
        below: The picture's path below it.
    """

    folder: str
    split: str
    below: str


def divide_by_folders(groups: Sequence[Group]) -> Division | None:
    """Take folders of splits for splits, if there are any, and those inside for classes.

    That is done where all pictures are in folders that are called like splits, or where training
    folders have class folders in common with others. Images outside of all splits keep their
    class if it is one of these.

    Returns:
        None if there are no such folders, or no class folders inside.
    """
    is_one_of_several = len(groups) > 1
    places: dict[str, _Place] = {}
    for group in groups:
        folder = _named_split(group) if is_one_of_several else None
        if folder is not None:
            split = find_split(posixpath.basename(folder) or group.name)
            assert split is not None
            start = len(folder) + 1 if folder else 0
            for item in group.items:
                places[item.key] = _Place(folder or group.name, split, item.key[start:])
        elif _may_be_divided(group):
            places |= _look_inside(group)
    if not places:
        return None
    places = _without_repeated(places)
    classes = _classes_of(places)
    is_all = len(places) == sum(len(group.items) for group in groups)
    if not _is_division(places, classes, is_all=is_all):
        return None
    items = [item for group in groups for item in group.items]
    return _divide(items, places, classes)


def _named_split(group: Group) -> str | None:
    """Return the split's folder that a location is or is in: ``train``, of ``train/cat`` too.

    Returns:
        None if there is none, and an empty text if it is the root of all keys.
    """
    folder = group.prefix.rstrip("/")
    above = folder.split("/")[:-1]
    splits = [number for number, name in enumerate(above, 1) if find_split(name)]
    is_split = find_split(group.name) is not None
    # A folder `test` inside of `train` is a class; `train` inside of `my_test_run` is a split.
    if splits and (not is_split or above[splits[-1] - 1].lower() in SPLITS):
        return "/".join(above[: splits[-1]])
    return folder if is_split else None


def _may_be_divided(group: Group) -> bool:
    """Whether a look at all keys is worth its time: most folders hold classes."""
    start = len(group.prefix)
    names = {item.key[start:].partition("/")[0] for item in group.items}
    return len(names) == 1 or any(map(find_split, names))


def _look_inside(group: Group) -> dict[str, _Place]:
    """Find the split folders of a location, in the first level that does not have one folder."""
    keys = [item.key for item in group.items]
    start = len(group.prefix)
    while True:
        names = {key[start:].partition("/")[0] for key in keys if "/" in key[start:]}
        if any(map(find_split, names)):
            break
        if len(names) != 1 or any("/" not in key[start:] for key in keys):
            return {}
        start += len(names.pop()) + 1
    places = {}
    for key in keys:
        name, separator, below = key[start:].partition("/")
        split = find_split(name)
        if separator and split is not None:
            places[key] = _Place(key[:start] + name, split, below)
    return places


def _without_repeated(places: Mapping[str, _Place]) -> dict[str, _Place]:
    """Pass over a folder that is alone in its split and repeats it: ``train/train/cat``."""
    inside: dict[str, set[str]] = defaultdict(set)
    for place in places.values():
        inside[place.folder].add(place.below.partition("/")[0])
    repeated = {
        place.folder
        for place in places.values()
        if len(inside[place.folder]) == 1
        and "/" in place.below
        and find_split(place.below.partition("/")[0]) == place.split
    }
    return {
        key: replace(place, below=place.below.partition("/")[2])
        if place.folder in repeated
        else place
        for key, place in places.items()
    }


def _classes_of(places: Mapping[str, _Place]) -> dict[str, str]:
    """Return the class folder of each picture that is in one, by key."""
    inside = {key: place for key, place in places.items() if "/" in place.below}
    skipped = len(common_folder(place.below for place in inside.values()))
    classes = {
        key: place.below[skipped:].partition("/")[0]
        for key, place in inside.items()
        if "/" in place.below[skipped:]
    }
    names = _names_by_folder(places, classes)
    several = [folder for folder, own in names.items() if len(own) > 1]
    in_several = set().union(*(names[folder] for folder in several))
    # Beside class folders of other splits, one of another name holds no class: val/images.
    odd = {folder for folder, own in names.items() if several and len(own) == 1} - {
        folder for folder, own in names.items() if own & in_several
    }
    return {key: name for key, name in classes.items() if places[key].folder not in odd}


def _names_by_folder(
    places: Mapping[str, _Place], classes: Mapping[str, str]
) -> dict[str, set[str]]:
    names: dict[str, set[str]] = defaultdict(set)
    for key, name in classes.items():
        names[places[key].folder].add(name)
    return names


def _is_division(places: Mapping[str, _Place], classes: Mapping[str, str], *, is_all: bool) -> bool:
    """Whether folders that are called like splits are splits."""
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for key, name in classes.items():
        sides[places[key].split == "train"].add(name)
    if sides[True] & sides[False]:
        return True
    folders = {place.folder for place in places.values()}
    stems = (posixpath.basename(folder).partition(".")[0].lower() for folder in folders)
    is_plain = all(stem in SPLITS for stem in stems)
    return is_all and is_plain and len(sides[True] | sides[False]) > (len(folders) == 1)


def _divide(
    items: Sequence[ImageItem], places: Mapping[str, _Place], classes: Mapping[str, str]
) -> Division:
    """Give the images their classes and splits."""
    known = set(classes.values())
    divided: dict[str, ImageItem] = {}
    by_folder: Counter[str] = Counter()
    by_split: Counter[str] = Counter()
    for item in items:
        place = places.get(item.key)
        if place is None:
            label = next((part for part in item.key.split("/")[:-1] if part in known), None)
            divided[item.key] = replace(item, label=label)
        else:
            by_folder[place.folder] += 1
            by_split[place.split] += 1
            label, split = classes.get(item.key), item.split or place.split
            divided[item.key] = replace(item, label=label, split=split)
    counts = by_folder if len(by_folder) <= SHOWN_FOLDERS else by_split
    shown = [f"{name} ({counts[name]:,})" for name in sorted(counts, key=natural_key)]
    inside = format_count(len(known), "class", "classes")
    note = f"split by folder: {', '.join(shown)}; the folders inside are {inside}"
    outside = len(items) - len(places)
    if outside:
        note += f"; {format_count(outside, 'image is', 'images are')} in no split"
    return Division(divided, note)


def label_below(items: Sequence[ImageItem], prefix: str) -> list[ImageItem]:
    """Return images of a folder whose label is the first folder below it, or else its own name.

    For folders that share only the root of the disk: the first folder of their keys is no class.

    Args:
        items: The images.
        prefix: Beginning of their keys: the folder, with ``/``.
    """
    own = posixpath.basename(prefix.rstrip("/"))
    inside = [label_of(item.key[len(prefix) :]) for item in items]
    has_classes = None not in inside
    return [
        replace(item, label=label if has_classes else own)
        for item, label in zip(items, inside, strict=True)
    ]


def common_folder(paths: Iterable[str]) -> str:
    """Return the folders above the class folders, which all paths share.

    ``photos/cat/1.jpg`` is a cat, even where there are only cats.

    Example:
        >>> common_folder(["photos/cat/1.jpg", "photos/dog/big/2.jpg"])
        'photos/'
        >>> common_folder(["photos/cat/1.jpg", "photos/cat/2.jpg"])
        'photos/'
    """
    folders = {path.rpartition("/")[0] for path in paths}
    if not folders or "" in folders:
        return ""
    common = posixpath.commonpath(folders)
    if len(folders) == 1:
        common = posixpath.dirname(common)
    return f"{common}/" if common else ""
