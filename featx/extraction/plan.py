"""The plan of an extraction: what was asked for, what is there, and what has changed since."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from featx.errors import TooManyFailures, join_names
from featx.events import Listener
from featx.extraction.agreement import check_common_images, check_roots
from featx.extraction.changes import FolderChanges, compare_folder
from featx.extraction.existing import ExistingWork
from featx.extraction.request import Request
from featx.extraction.stored import StoredImages
from featx.images.sources import ImageFailure, ImageItem, ImageSet, gather, label_of
from featx.images.sources.request import IsStored, is_never_stored
from featx.units import format_count
from featx.wording import command, option

SHOWN_LOCATIONS = 3


@dataclass(frozen=True)
class Plan:
    """What one extraction is to do, decided before the model is loaded or anything is written.

    The dry run, the run, and the run that finds nothing to do all go by it.

    Attributes:
        request: What was asked for.
        record: The request as a store records it.
        found: The images as they are now.
        existing: The store and finished parts of it.
        stored: What these hold of each image.
        changes: What is new, changed and gone.
        every_item: The images of all shards.
    """

    request: Request
    record: Mapping[str, Any]
    found: ImageSet
    existing: ExistingWork
    stored: StoredImages
    changes: FolderChanges
    every_item: Sequence[ImageItem] = ()

    @cached_property
    def missing(self) -> frozenset[str]:
        """Keys that the store is to mark as missing."""
        base = self.existing.base
        marked = frozenset() if base is None else base.missing_keys
        return frozenset(self.changes.vanished) | (marked & self.changes.unknown)

    @property
    def is_complete(self) -> bool:
        """Whether the rows of the store are already those that this request would make."""
        changes, base = self.changes, self.existing.base
        if base is None or self.found.stream is not None:  # What a stream brings is not known.
            return False
        if changes.todo or changes.vanished_failures or changes.new_failures:
            return False
        if self.existing.parts or not base.root.is_same(self.found.root):
            return False
        if self.request.update.prune and changes.vanished:
            return False
        return base.missing_keys == self.missing

    @property
    def is_done(self) -> bool:
        """Whether the store was made by the same request, and is complete."""
        base = self.existing.base
        if base is None or not self.is_complete:
            return False
        limit = self.request.update.single_file_limit
        return base.header.request == self.record and limit in (
            None,
            base.header.single_file_limit,
        )


def make_plan(
    request: Request,
    record: Mapping[str, Any],
    found: ImageSet,
    existing: ExistingWork,
    stored: StoredImages,
) -> Plan:
    """Compare the images with what is there; see `Plan`.

    Raises:
        FingerprintMismatch: If the store holds the images of another folder.
        StoreDamaged: If a part that the store refers to is missing.
    """
    check_roots(existing, found)
    check_common_images(existing, stored, found)
    changes = compare_folder(
        found,
        stored,
        retry_failed=request.update.retry_failed,
        retry_limit=request.run.max_pixels is not None,
    )
    return Plan(request, record, found, existing, stored, changes)


def find_requested(
    request: Request, listener: Listener, is_stored: IsStored = is_never_stored
) -> tuple[ImageSet, Sequence[ImageItem]]:
    """Find the images of a request, and note how many there are.

    Args:
        request: The request.
        listener: Receives the notes.
        is_stored: See `featx.images.sources.request.IsStored`.

    Returns:
        Those of the request's shard, and those of all shards.
    """
    shard, read = request.update.shard, ""
    if isinstance(shard, str):
        from featx.images.sharding import find_shard  # Of few runs.

        shard, read = find_shard(shard, os.environ)
        read = f" ({read})"
    found = gather(
        request.images,
        labels=request.labels,
        selection=request.selection,
        scale=request.run.scale,
        allow_download=request.update.allow_download,
        is_stored=is_stored,
    )
    listener.note(describe_images(found))
    for note in found.notes:
        listener.note(note)
    if shard is None:
        return found, found.items
    from featx.images.sharding import select_shard

    selected = select_shard(found, *shard)
    listener.note(f"{len(selected.items):,} of them in part {shard[0]} of {shard[1]}{read}")
    return selected, found.items


def describe_images(found: ImageSet) -> str:
    """Say how many images there are and where: ``240 images in 'flowers', 12 class folders``."""
    if found.stream is not None:
        return "images as they come, from Python"
    where = "from Python" if found.root.is_in_memory else f"in {_describe_root(found)}"
    classes = found.classes
    of_folders = all(item.label == label_of(item.key) for item in found.items)
    kind = "class folders" if of_folders else "classes"
    of_classes = f", {len(classes)} {kind}" if len(classes) > 1 else ""
    return f"{format_count(len(found.items), 'image')} {where}{of_classes}"


def _describe_root(found: ImageSet) -> str:
    """Return the root, or what was named where that shares only the root of the disk."""
    if not found.root.is_whole_disk or not found.named:
        return repr(str(found.root))
    names = [repr(name) for name in found.named[:SHOWN_LOCATIONS]]
    rest = len(found.named) - len(names)
    return join_names([*names, *([f"{rest:,} more"] if rest else [])], conjunction="and")


def report_failures(plan: Plan, listener: Listener) -> None:
    """Report images that cannot be used, unless the run itself will, and those to compute again.

    A run names those that are new when it records them. A dry run, which does not, names every one.
    """
    changes = plan.changes
    listed = {failure.key for failure in plan.found.failures}
    earlier = [failure for key, failure in changes.failures.items() if key not in listed]
    if earlier:
        listener.note(
            format_count(
                len(earlier),
                "image failed before and has not changed since ",
                "images failed before and have not changed since ",
            )
            + f"({command('info')} says why; {option('retry_failed', True)} tries again)"
        )
    redone = sum(plan.stored.must_be_redone(item.key) for item in changes.todo)
    if redone:
        listener.note(
            format_count(redone, "HEIC picture is", "HEIC pictures are")
            + " computed again: an earlier version may have decoded shifted pixels"
        )
    new = {failure.key for failure in changes.new_failures}
    for failure in plan.found.failures:
        if failure.key not in new:
            listener.failure(plan.found.root.shown(failure.key), failure.reason)
    if plan.request.update.dry_run:
        for failure in earlier:
            shown = plan.found.root.shown(failure.key)
            listener.failure(shown, f"{failure.reason} (in an earlier run)")
        for failure in changes.new_failures:
            listener.failure(plan.found.root.shown(failure.key), failure.reason)


def check_failures(failures: Mapping[str, ImageFailure], limit: int | None) -> None:
    """Refuse to go on when more than `limit` images cannot be used, whenever they failed.

    Raises:
        TooManyFailures: Names the last one.
    """
    if limit is not None and len(failures) > limit:
        last = list(failures.values())[-1]
        raise TooManyFailures(
            f"{format_count(len(failures), 'image')} failed; the limit is {limit}. "
            f"The last one: {last.key}: {last.reason}. What was computed is kept: without "
            f"{option('strict')} or {option('max_failures')}, the same goes on from here."
        )
