"""`find_duplicates`: identical files, copies that were changed, and leaks between sets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from featx.arguments import check_given_flag, check_given_store, plain_arguments
from featx.curation.collection import Collection, read_collection
from featx.curation.duplicate_groups import DuplicateGroup, DuplicatePicture, DuplicatesReport
from featx.curation.grouping import Mirrored, divide, is_wanted, list_connected
from featx.curation.mirrored import find_mirrored, is_mirrored
from featx.curation.pairs import NearPairs, find_near_pairs
from featx.curation.pictures import MeasuredPicture, measure_pictures
from featx.curation.threshold import check_threshold
from featx.errors import ImageError, InvalidValue
from featx.events import Listener, Verbose, choose_listener
from featx.files import is_same_file
from featx.heads.labels import side_of
from featx.heads.options import FeatureChoice
from featx.images.roots import is_url
from featx.images.sources.keys import check_inside
from featx.keywords import LayerSynonyms
from featx.specs import DEFAULT_READ_POOLING, DEFAULT_STORE
from featx.store import open_store
from featx.units import format_count
from featx.wording import option

SHARP = 0.5
"""A copy is blurred if it is less than half as sharp as the sharpest of its size."""


@plain_arguments(features=check_given_store, pictures=check_given_flag)
def find_duplicates(
    features: str | Path = DEFAULT_STORE,
    *,
    across: str | Path | None = None,
    across_splits: bool = False,
    threshold: float | None = None,
    flipped: bool = False,
    pictures: bool = True,
    layer: str | int | None = None,
    pool: str = DEFAULT_READ_POOLING,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
    **synonyms: Unpack[LayerSynonyms],
) -> DuplicatesReport:
    """Find copies among the images of a store, exact ones and changed ones.

    Identical files are known by their content. Copies that were scaled, saved again, cropped a
    little or made brighter have almost the same features: the cosine of these, less their mean, is
    at least the threshold. No picture is changed or deleted.

    Args:
        features: The store.
        across: Another store of the same model: only copies in both are listed, and those in
            `features` can go.
        across_splits: Only copies in several splits of the store; those outside of the test split
            can go.
        threshold: Least similarity, in (0, 1]; chosen on the features when None.
        flipped: Also find mirrored copies. Reads all pictures.
        pictures: Whether to read the pictures of groups, so that the best copy is known by
            resolution and sharpness; otherwise by the size of its file alone.
        layer: The layer; the deepest one when None.
        pool: Applied to layers that were stored as maps.
        progress: Whether to show progress; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives progress and notes, in place of these two.
        synonyms: ``layers`` is ``layer``.

    Raises:
        StoreNotFound: If there is no such store.
        FingerprintMismatch: If the features of two stores cannot be compared.
        InvalidValue: If the threshold is none, both stores are one, or no picture can be read to
            look for mirrored ones.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(3)
        >>> _ = (photos / "copy.png").write_bytes((photos / "image_0.png").read_bytes())
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="copies.h5")
        >>> [group.keys for group in find_duplicates("copies.h5")]
        [('copy.png', 'image_0.png')]
    """
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    check_threshold(threshold)
    if across is not None and across_splits:
        raise InvalidValue(
            f"{option('across')} compares two stores, {option('across_splits', True)} the splits "
            "of one. Choose one of them."
        )
    if across is not None and is_same_file(Path(features), Path(across)):
        raise InvalidValue(
            f"{option('across')} compares two stores. Received: {str(features)!r} twice. Leave it "
            "out to find copies in one store."
        )
    with contextlib.ExitStack() as stack:
        paths = [Path(one) for one in (features, across) if one is not None]
        stores = [stack.enter_context(open_store(path)) for path in paths]
        collection = read_collection(stores, FeatureChoice(layer, pool), listener)
        if across_splits and len({split for split in collection.splits if split}) < 2:
            raise InvalidValue(
                f"{option('across_splits', True)} compares the splits of a store. Received: "
                f"{str(features)!r}, which has {len(stores[0].split_names)} of them."
            )
        search = _Search(collection, is_between_splits=across_splits, listener=listener)
        return search.find(threshold, flipped=flipped, pictures=pictures)


class _Search:
    """The copies in a collection, from pairs to groups.

    Args:
        collection: What is compared.
        is_between_splits: Whether only groups in several splits are wanted.
        listener: Receives progress and notes.
    """

    def __init__(
        self, collection: Collection, *, is_between_splits: bool, listener: Listener
    ) -> None:
        self.collection, self.listener = collection, listener
        self.is_between = is_between_splits or len(collection.roots) > 1
        self.sides = None
        if is_between_splits:
            self.sides = _number_values(collection.splits)
        elif self.is_between:
            self.sides = collection.source
        self.has_read = self.looks_mirrored = False
        # What stays whatever its quality: the other store, or the test split.
        self.stays = collection.source == 1
        if is_between_splits:
            self.stays = np.array([side_of(split) == "test" for split in collection.splits], bool)

    def find(self, threshold: float | None, *, flipped: bool, pictures: bool) -> DuplicatesReport:
        """Return the groups; see `find_duplicates`."""
        found = find_near_pairs(
            self.collection.values, self.collection.copies(), threshold, self.listener
        )
        self.has_read, self.looks_mirrored = pictures or flipped, flipped
        measured: dict[int, MeasuredPicture] = {}
        mirrored: Mirrored = {}
        if flipped:
            measured = self._measure(np.arange(len(self.collection)), needs_one=True)
            mirrored = self._find_mirrored(measured, found)
        parts = [part for part in list_connected(found, mirrored) if is_wanted(part, self.sides)]
        if pictures and parts and not flipped:
            measured = self._measure(np.concatenate(parts), needs_one=False)
        groups = [
            self._make_group(rows, similarity, measured)
            for part in parts
            for rows, similarity in divide(
                self._rank(part, measured), found, mirrored, self.sides, self.stays
            )
        ]
        groups.sort(key=lambda group: -len(group.pictures))
        return DuplicatesReport(
            tuple(groups),
            len(self.collection),
            self.collection.layer,
            found.threshold.similarity,
            found.threshold.origin,
            found.recall,
            self.is_between,
        )

    def _find_mirrored(self, measured: Mapping[int, MeasuredPicture], found: NearPairs) -> Mirrored:
        if len(measured) < 2:
            return {}
        thumbnails = np.array([one.thumbnail for one in measured.values()])
        mirrored = find_mirrored(thumbnails, np.array([*measured]), found)
        if mirrored is None:
            self.listener.note(
                "most pictures look alike when they are small: mirrored copies are not told"
            )
        return mirrored or {}

    def _measure(self, rows: np.ndarray, *, needs_one: bool) -> dict[int, MeasuredPicture]:
        """Read the pictures of rows that are there, and say how many are not."""
        files = [self.collection.file(row) for row in rows.tolist()]
        results = dict(zip(rows.tolist(), measure_pictures(files, self.listener), strict=True))
        measured = {row: one for row, one in results.items() if isinstance(one, MeasuredPicture)}
        absent = [(row, one) for row, one in results.items() if isinstance(one, ImageError)]
        if absent:
            row, error = absent[0]
            which = f"the first, {self.collection.keys[row]!r}: {error.reason}"
            if needs_one and not measured:
                raise InvalidValue(
                    f"{option('flipped', True)} compares the pictures, and none of them can be "
                    f"read; {which}. Put them back where they were, or leave it out."
                )
            self.listener.note(
                f"{format_count(len(absent), 'picture')} of {len(rows):,} cannot be read "
                f"({which}): copies that can be read are better, and only these can go"
            )
        return measured

    def _rank(self, rows: np.ndarray, measured: Mapping[int, MeasuredPicture]) -> np.ndarray:
        """Return connected rows, the best copy first."""
        known = [measured.get(row) for row in rows.tolist()]
        # What could not be read has no pixels, and so comes last.
        pixels = np.array([0 if one is None else one.pixels for one in known], float)
        sharpness = np.array([0 if one is None else one.sharpness for one in known])
        is_sharp = np.ones(len(rows), bool)
        for size in np.unique(pixels):
            same = pixels == size
            is_sharp[same] = sharpness[same] >= SHARP * sharpness[same].max()
        keys = np.array([len(self.collection.keys[row]) for row in rows.tolist()])
        sizes = self.collection.file_size[rows]
        order = np.lexsort((rows, keys, -sizes, ~is_sharp, -pixels, ~self.stays[rows]))
        return rows[order]

    def _make_group(
        self, rows: np.ndarray, similarity: np.ndarray, measured: Mapping[int, MeasuredPicture]
    ) -> DuplicateGroup:
        pairs = zip(rows.tolist(), [1.0, *similarity.tolist()], strict=True)
        going = self._list_going(rows.tolist(), measured)
        pictures = [
            self._describe(row, value, measured.get(row), can_go=row in going)
            for row, value in pairs
        ]
        best = measured.get(int(rows[0]))
        if self.looks_mirrored and best is not None:
            for place, row in enumerate(rows.tolist()):
                own = measured.get(row)
                if own is not None and is_mirrored(best.thumbnail, own.thumbnail):
                    pictures[place] = replace(pictures[place], is_mirrored=True)
        return DuplicateGroup(tuple(pictures))

    def _list_going(self, rows: list[int], measured: Mapping[int, MeasuredPicture]) -> set[int]:
        """Return the rows of a group whose pictures may be deleted, so that the best one is left.

        Not among them is a file that stays under another key, path or link, and what was to be
        read and is gone or has changed.
        """
        files = {row: _real_path(self.collection.location(row)) for row in rows}
        staying = {row for row in rows if row == rows[0] or self.stays[row]}
        kept = {files[row] for row in staying}
        return {
            row
            for row in rows
            if row not in staying
            and files[row] not in kept
            and (row in measured or not self.has_read or is_url(files[row]))
            and _is_inside(self.collection.keys[row])
        }

    def _describe(
        self, row: int, similarity: float, measured: MeasuredPicture | None, *, can_go: bool
    ) -> DuplicatePicture:
        shelf = self.collection
        return DuplicatePicture(
            key=shelf.keys[row],
            path=shelf.location(row),
            root=shelf.roots[shelf.source[row]],
            content_hash=shelf.content_hash[row].tobytes(),
            similarity=similarity,
            file_size=int(shelf.file_size[row]),
            width=None if measured is None else measured.width,
            height=None if measured is None else measured.height,
            label=shelf.labels[row],
            split=shelf.splits[row],
            is_other=bool(shelf.source[row] == 1),
            can_go=can_go,
        )


def _number_values(values: Sequence[str | None]) -> np.ndarray:
    """Number texts from 0, (N,); -1 for None."""
    known = {value for value in values if value is not None}
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(sorted(known))}
    return np.array([numbers.get(value, -1) for value in values])


def _real_path(location: str) -> str:
    return location if is_url(location) else os.path.realpath(location)


def _is_inside(key: str) -> bool:
    """Whether a key stays below its root: what a stranger's store names elsewhere is not to go."""
    try:
        check_inside(key)
    except ImageError:
        return False
    return True
