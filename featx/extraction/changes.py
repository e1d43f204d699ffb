"""What has changed since: images as they are now, compared with what is stored of them."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

from featx.extraction.stored import StoredImages
from featx.images.sources import ImageFailure, ImageItem, ImageSet, beginnings
from featx.wording import names_option

SHIFTED_REASON = "box can't exceed original image size"
"""Why earlier versions could not use some HEIC pictures; see `featx.store.shifted`."""


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """What is to be done so that a store agrees with its images.

    Attributes:
        new: Images to read that are not in the store.
        changed: Images to read whose size or time is not the stored one.
        unchanged: How many images need not be read.
        failures: Images that failed earlier and are not tried again, or cannot even be listed.
        new_failures: Those of `failures` that the ledger does not hold yet.
        vanished: Keys with features whose image is gone.
        vanished_failures: Keys in the ledger whose image is gone.
        unknown: Keys that cannot be looked up now (a folder that cannot be read): they stay.
        todo: All images to read, new or changed, in natural order.
    """

    new: tuple[ImageItem, ...] = ()
    changed: tuple[ImageItem, ...] = ()
    unchanged: int = 0
    failures: Mapping[str, ImageFailure] = field(default_factory=dict)
    new_failures: tuple[ImageFailure, ...] = ()
    vanished: tuple[str, ...] = ()
    vanished_failures: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()
    todo: tuple[ImageItem, ...] = ()

    def without_left_out(self, stored: StoredImages, kept: Container[str]) -> FolderChanges:
        """Return the same, with every stored key that is not in `kept` among the vanished."""
        return replace(
            self,
            vanished=tuple(key for key in stored.keys if key not in kept),
            vanished_failures=tuple(key for key in stored.ledger if key not in kept),
        )


def compare_folder(
    found: ImageSet,
    stored: StoredImages,
    *,
    retry_failed: bool = False,
    retry_limit: bool = False,
) -> FolderChanges:
    """Compare images as they are now with what is stored, by size and modification time.

    Args:
        found: The images as they are now.
        stored: What is stored.
        retry_failed: Also read again what failed and has not changed since.
        retry_limit: Also read again what had too many pixels, as the limit may have changed.
    """
    new: list[ImageItem] = []
    changed: list[ImageItem] = []
    todo: list[ImageItem] = []
    failures: dict[str, ImageFailure] = {}
    for item in found.items:
        earlier = stored.ledger.get(item.key)
        if stored.is_unchanged(item):
            continue
        if (
            earlier is not None
            and _is_same_file(earlier, item)
            and not retry_failed
            and not (retry_limit and names_option(earlier.reason, "max_pixels"))
            and SHIFTED_REASON not in earlier.reason
        ):
            failures[item.key] = earlier
        else:
            (changed if item.key in stored else new).append(item)
            todo.append(item)
    unchanged = len(found.items) - len(todo) - len(failures)
    # An image that cannot be listed now (a link to a disk that is away) keeps its features.
    failures |= {failure.key: failure for failure in found.failures}
    changes = FolderChanges(
        new=tuple(new),
        changed=tuple(changed),
        unchanged=unchanged,
        failures=failures,
        new_failures=tuple(
            failure
            for failure in found.failures
            if failure.key not in stored and failure.key not in stored.ledger
        ),
        todo=tuple(todo),
    )
    return _add_vanished(changes, found, stored)


def _is_same_file(earlier: ImageFailure, item: ImageItem) -> bool:
    """Whether an image that failed is as it was then; unknown times say nothing."""
    is_same = (earlier.size, earlier.mtime_ns) == (item.size, item.mtime_ns)
    return is_same and item.mtime_ns != -1


def _add_vanished(changes: FolderChanges, found: ImageSet, stored: StoredImages) -> FolderChanges:
    """Return the same, with the stored keys whose images are not there.

    An image in a folder that cannot be read now is not known to be gone; neither is one that this
    command did not name.
    """
    listed = {item.key for item in found.items} | changes.failures.keys()
    unread = {"" if f.key == "." else f"{f.key}/" for f in found.failures}
    vanished: list[str] = []
    unknown: set[str] = set()
    for key in stored.keys:
        if key in listed:
            continue
        if not unread.isdisjoint(beginnings(key)):
            unknown.add(key)
        elif found.is_gone(key, listed):
            vanished.append(key)
    # Of what is in the ledger and unchanged: it could only not be read then.
    readable = {item.key for item in found.items if item.key in stored.ledger}
    readable -= {item.key for item in changes.todo} | changes.failures.keys()
    vanished_failures = [
        key
        for key in stored.ledger
        if key in readable
        or (
            key not in listed
            and unread.isdisjoint(beginnings(key))
            and not found.root.is_in_memory
            and (found.is_gone(key, listed) or os.path.isdir(found.root.location(key)))
        )
    ]
    return replace(
        changes,
        vanished=tuple(vanished),
        vanished_failures=tuple(vanished_failures),
        unknown=frozenset(unknown),
    )
