"""`find_images`: all images at the locations that were named, in order, under one root."""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from featx.errors import ImagesNotFound, InvalidValue, join_names
from featx.images.roots import Root, is_url
from featx.images.sources.endings import IMAGE_SUFFIXES, UNREAD_SUFFIXES, describe_unread
from featx.images.sources.frames import check_frame, choose_frames
from featx.images.sources.items import ImageItem, ImageSet, Listing, ReadsInOrder
from featx.images.sources.keys import ending_of, natural_key
from featx.images.sources.kinds import describe_broken_sources
from featx.images.sources.naming import (
    Named,
    check_addresses,
    check_split,
    common_root,
    name_list,
    name_table,
    resolve_names,
)
from featx.images.sources.overlooked import describe_archives
from featx.images.sources.request import (
    IsExcluded,
    IsStored,
    SourceRequest,
    Table,
    is_never_stored,
    make_exclusion,
)
from featx.images.sources.split_folders import Group, divide_by_folders, label_below
from featx.images.sources.splits import same_split
from featx.wording import option


def find_images(
    paths: str | Path | Sequence[str | Path] = (),
    *,
    exclude: Sequence[str] = (),
    image_list: str | Path | None = None,
    split: str | None = None,
    frame: int | str | None = None,
    table: Table | None = None,
    allow_download: bool = False,
    is_stored: IsStored = is_never_stored,
) -> ImageSet:
    """List images in folders (recursively), files, archives, arrays and tables, in natural order.

    Hidden files and folders (a leading dot, macOS ``._`` files too) are skipped, and folders of
    thumbnails that network storage makes (``@eaDir``).
    Links to folders are followed, each folder once: under its own name where it has one
    below the path, otherwise under the first link to it.

    Args:
        paths: What to list: a folder, a file, a glob, a ``.tar`` or ``.zip`` archive, a manifest
            (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``), arrays (``.npy``, ``.npz``), a URL of
            any of these but arrays, or several. One folder or archive is the root itself; the root
            of one file is its folder, of a glob the folder before its first wildcard; several share
            their closest common folder.
        exclude: Globs; see `featx.images.sources.request.make_exclusion`.
        image_list: A text file with one path in each line, ``-`` for the standard input.
        split: Only this split of manifests, arrays, and folders called train, val or test.
        frame: Of animations and files of several pages, this frame (from 0), or ``all``; when None
            the first, under the file's own key.
        table: A table in memory instead of `paths`; its paths are absolute.
        allow_download: Also fetch pictures from servers that only a table names.
        is_stored: See `featx.images.sources.request.IsStored`.

    Returns:
        The images; what could not be listed is in `failures`.

    Raises:
        ImagesNotFound: If a path does not exist, or there is no image in any of them.
        InvalidValue: If options or sources do not go together.

    Example:
        >>> find_images(["no/such/folder"])
        Traceback (most recent call last):
        ...
        featx.errors.ImagesNotFound: There is no file or folder 'no/such/folder'. ...
    """
    frame = check_frame(frame)
    given = [str(paths)] if isinstance(paths, (str, Path)) else [str(path) for path in paths]
    named = resolve_names(given) if table is None else [name_table(table)]
    if image_list is not None:
        named.append(name_list(str(image_list)))
        given.append(str(image_list))
    if not named:
        if given:  # Globs that match files, none of which is named like an image.
            _refuse_nothing(given, has_exclusions=False)
        raise ImagesNotFound("No images were given. Name at least one folder or file.")
    if not allow_download:
        check_addresses(named)
    collection = _Collection(named, make_exclusion(exclude), is_stored)
    for one in named:
        collection.add(one, split)
    collection.describe_matches(given)
    collection.divide(split)
    collection.choose_frames(frame)
    if collection.is_empty:
        if collection.overlooked:
            raise ImagesNotFound(" ".join(collection.overlooked))
        _refuse_nothing(given, has_exclusions=bool(exclude))
    return collection.finish()


class _Collection:
    """The images of several locations under their common root.

    Attributes:
        overlooked: For each folder with archives that were not named, or pictures that are not
            read: what to do.
    """

    def __init__(
        self, named: Sequence[Named], is_excluded: IsExcluded, is_stored: IsStored
    ) -> None:
        self.overlooked: list[str] = []
        self._root: Root = common_root(named)
        self._named = named
        self._is_excluded = is_excluded
        self._is_stored = is_stored
        self._total = Listing()
        self._covered: dict[str, bool] = {}
        self._groups: list[Group] = []
        self._files: list[ImageItem] = []
        self._known_files = {one.location for one in named}

    @property
    def is_empty(self) -> bool:
        """Whether there is neither an image nor a failure."""
        return not self._total.items and not self._total.failures

    def add(self, one: Named, split: str | None) -> None:
        """List the images at one location."""
        if one.is_match and ending_of(one.location) in UNREAD_SUFFIXES and not one.is_folder:
            self._total.overlook(os.path.basename(one.location))
            return
        prefix = one.prefix(self._root)
        listing = one.source.list_images(
            SourceRequest(
                one.location,
                self._root,
                prefix,
                self._is_excluded,
                split,
                one.table,
                self._is_stored,
            )
        )
        self._leave_out(listing)
        total = self._total
        if one.source.is_container or is_url(one.location):
            self._covered[prefix] = listing.is_complete and self._covered.get(prefix, True)
            total.left_out |= listing.left_out
        self._describe_overlooked(one, listing)
        if self._root.is_whole_disk and one.is_folder and not one.is_match:
            listing.items = label_below(listing.items, one.below(self._root))
        if listing.by_folder:
            self._group(one, listing.items)
        total.items += listing.items
        total.failures += listing.failures
        total.notes += listing.notes

    def describe_matches(self, given: Sequence[str]) -> None:
        """Say which pictures that globs have found are not read."""
        if self._total.unread:
            globs = ", ".join(name for name in given if glob.has_magic(name))
            note = describe_unread(self._total.unread, globs, has_images=not self.is_empty)
            self.overlooked.append(note)

    def divide(self, split: str | None) -> None:
        """Give images in folders of splits their classes; take only those of `split`, if any.

        Raises:
            InvalidValue: If a split is asked for where there are none.
            ImagesNotFound: If no image is of that split.
        """
        groups = [*self._groups, *([Group("", "", self._files)] if self._files else [])]
        division = divide_by_folders(groups)
        if division is not None:
            self._total.items = [division.items.get(i.key, i) for i in self._total.items]
            self._total.notes.append(division.note)
        if split is None:
            return
        if division is None:
            check_split(self._named, split)
        wanted = [item for item in self._total.items if same_split(item.split, split)]
        self._total.left_out.update(item.key for item in self._total.items)
        self._total.left_out.difference_update(item.key for item in wanted)
        if not wanted and self._total.items:
            splits = {item.split for item in self._total.items if item.split}
            raise ImagesNotFound(
                f"No image is of the split {split!r}. The splits are {join_names(sorted(splits))}."
            )
        self._total.items = wanted

    def _group(self, one: Named, items: list[ImageItem]) -> None:
        """Note images whose labels are the names of folders, by the folder that was named."""
        if one.is_folder or one.source.is_container:
            name = posixpath.basename(one.location.rstrip("/"))
            self._groups.append(Group(name, one.below(self._root), items))
        else:
            self._files += items

    def choose_frames(self, frame: int | str | None) -> None:
        """Replace files that have several frames; see `frames.choose_frames`."""
        items = self._total.items
        if not self._root.is_on_disk and len(self._named) > 1:
            _check_addresses(self._named, items)
        if len(self._named) > 1 or self._named[0].table is not None:
            # Locations may overlap; an image counts once.
            items = list({item.key: item for item in items}.values())
        self._total.items = choose_frames(items, frame, self._total)

    def finish(self) -> ImageSet:
        """Return the images in order."""
        _sort(self._total.items)
        failures = sorted(self._total.failures, key=lambda f: (natural_key(f.key), f.reason))
        return ImageSet(
            root=self._root,
            items=tuple(self._total.items),
            failures=tuple({failure.key: failure for failure in failures}.values()),
            notes=tuple(
                dict.fromkeys(describe_broken_sources() + self._total.notes + self.overlooked)
            ),
            covered=self._covered,
            left_out=frozenset(self._total.left_out),
            named=tuple(one.shown for one in self._named),
        )

    def _leave_out(self, listing: Listing) -> None:
        is_excluded = self._is_excluded
        if is_excluded is None:
            return
        excluded = {item.key for item in listing.items if is_excluded(item.key)}
        listing.items = [item for item in listing.items if item.key not in excluded]
        listing.failures = [f for f in listing.failures if not is_excluded(f.key)]
        listing.left_out |= excluded

    def _describe_overlooked(self, one: Named, listing: Listing) -> None:
        """Say which archives (each once) and pictures in a folder are not read."""
        has_images = bool(listing.items or listing.failures)
        if listing.unread:
            note = describe_unread(listing.unread, one.shown, has_images=has_images)
            self.overlooked.append(note)
        paths = [os.path.join(self._root.text, key) for key in listing.archives]
        paths = [path for path in paths if path not in self._known_files]
        if not paths:
            return
        self._known_files.update(paths)
        names = [os.path.relpath(path, one.location) for path in paths]
        self.overlooked.append(describe_archives(names, one.shown, has_images=has_images))


def _check_addresses(named: Sequence[Named], items: Sequence[ImageItem]) -> None:
    """Refuse URLs that differ only in parts that are not recorded (a query, a signature)."""
    addresses = {one.location for one in named}
    if len({item.key for item in items}) < len(items) and len(addresses) == len(items):
        raise InvalidValue(
            "Several addresses differ only behind the '?', and their images would have one name. "
            "Download them, or give each from Python: featx.extract([(key, image), ...])."
        )


def _sort(items: list[ImageItem]) -> None:
    """Put items in natural order, except in archives that can only be read from the beginning."""
    readers: dict[int, object] = {id(item.reader): item.reader for item in items}
    ordered = {
        number: reader for number, reader in readers.items() if isinstance(reader, ReadsInOrder)
    }
    if not ordered:  # Saves a million tuples.
        items.sort(key=lambda item: natural_key(item.key))
        return

    def order(item: ImageItem) -> tuple[str, int]:
        reader = ordered.get(id(item.reader))
        if reader is None:
            return natural_key(item.key), 0
        return natural_key(reader.prefix), reader.position(item)

    items.sort(key=order)


def _refuse_nothing(given: Sequence[str], *, has_exclusions: bool) -> NoReturn:
    where = ", ".join(map(repr, given))
    left = f", and {option('exclude')} leaves nothing over" if has_exclusions else ""
    raise ImagesNotFound(
        f"There are no images in {where}{left}. featx looked for files ending in "
        f"{' '.join(sorted(IMAGE_SUFFIXES))}, in all folders below."
    )
