"""The dry run: the outcome of a plan, predicted without decoding an image."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from featx.errors import ImageError
from featx.events import Listener
from featx.extraction.changes import FolderChanges
from featx.extraction.plan import Plan
from featx.extraction.renames import find_renamed
from featx.extraction.report import Outcome
from featx.extraction.stored import StoredImages
from featx.files import hash_content
from featx.images.limits import EMPTY
from featx.images.sources import ImageFailure, ImageItem, natural_key
from featx.images.sources.items import make_failure


def forecast(plan: Plan, listener: Listener) -> Outcome:
    """Return the expected outcome of a plan; name the images that are known to fail.

    Files that may be renamed or identical are hashed; none is decoded. The numbers are those of a
    run, unless it finds images that cannot be decoded.
    """
    changes, stored = plan.changes, plan.stored
    expected = _expect(changes, stored)
    identical = expected.identical
    touched = {key for key, content in identical.items() if stored.holds(key, content)}
    renamed = find_renamed(plan, identical)
    dropped = set(changes.vanished) if plan.request.update.prune else renamed
    lost = 0
    for failure in expected.failures:
        listener.failure(plan.found.root.shown(failure.key), failure.reason)
        # An image that only cannot be read now keeps the features it has.
        lost += failure.key not in stored or not failure.is_passing
    return Outcome(
        rows=len(stored) - len(dropped) + len(changes.new) - lost,
        done=len(changes.todo) - len(identical) - len(expected.failures),
        skipped=changes.unchanged + len(touched),
        reused=len(identical) - len(touched),
        renamed=renamed,
        vanished=changes.vanished,
        failures={**changes.failures, **{one.key: one for one in expected.failures}},
    )


@dataclass(frozen=True, slots=True)
class _Expected:
    """What is known of images that are to be read, without decoding them.

    Attributes:
        identical: Key → content hash, of images identical to a stored one or to one before.
        failures: Images that will fail.
    """

    identical: Mapping[str, bytes]
    failures: tuple[ImageFailure, ...]


def _expect(changes: FolderChanges, stored: StoredImages) -> _Expected:
    """Find out which images to read are identical to others, and which will fail.

    Only files whose size occurs twice are read: others cannot be identical.
    """
    failures: list[ImageFailure] = []
    groups: dict[int, list[ImageItem]] = defaultdict(list)
    for item in changes.todo:
        if item.size == 0:
            failures.append(ImageFailure(item.key, EMPTY, 0, item.mtime_ns))
        elif item.reader is None and not os.access(item.path, os.R_OK):
            failures.append(make_failure(item.key, os.strerror(errno.EACCES)))
        else:
            groups[item.size].append(item)
    identical: dict[str, bytes] = {}
    sizes = stored.file_sizes()
    seen = stored.content_hashes() if changes.todo else set()
    for size, items in groups.items():
        if size not in sizes and len(items) < 2:
            continue
        for item in items:
            content = _hash(item)
            if isinstance(content, ImageFailure):
                failures.append(content)
                continue
            if content in seen:
                identical[item.key] = content
            seen.add(content)
    failures.sort(key=lambda failure: natural_key(failure.key))
    return _Expected(identical, tuple(failures))


def _hash(item: ImageItem) -> bytes | ImageFailure:
    try:
        return hash_content(item.read_bytes())
    except ImageError as error:
        return ImageFailure(item.key, error.reason, item.size, item.mtime_ns)
    except OSError as error:
        return make_failure(item.key, error)
