"""`verify_store`: check every byte of a store, and repair it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from featx.arguments import check_given_path, plain_arguments
from featx.checks.texts import check_path
from featx.errors import ImageError, ImagesNotFound
from featx.events import Listener, Verbose, choose_listener
from featx.files import hash_content
from featx.images.roots import Root, is_url
from featx.images.sources.locations import LocationReader
from featx.objects.addresses import is_address, location_of
from featx.objects.copies import copy_of, find_unfinished
from featx.objects.publishing import publishing, writing_path
from featx.shown import Shown
from featx.store.checking import Damage, Findings, check_store
from featx.store.lock import lock_for_writing
from featx.store.parts import list_assembled, list_parts, parts_folder
from featx.store.reader import FeatureStore, open_store
from featx.store.repairing import open_lost_parts, repair_store
from featx.store.views import referenced_parts, remove_spent_parts


@dataclass(frozen=True, slots=True, repr=False)
class VerifyReport(Shown):
    """The result of checking a store.

    Attributes:
        store: The store.
        rows: Its rows.
        files: Files that were read: the store and its parts.
        num_bytes: Their size.
        images: Images whose files were hashed (``images``).
        damages: What is damaged; empty if everything is as it was written.
        changed: Keys whose image is not the one that was extracted (``images``). Repairing
            drops their rows, too: `featx.extract` goes by size and time, and may not see it.
        missing: Keys whose image is gone (``images``); this is not damage.
        unreadable: Keys whose image cannot be read (``images``) → why; whether it has changed, or
            exists at all, is unknown.
        repairable: Whether ``repair`` can help; if not, all of it must be extracted again.
        repaired: Whether the store was repaired.
        dropped: Rows that this cost; the next `featx.extract` computes them again.
        unused: Parts beside the store that it does not refer to, and uploads of it that never
            ended: an extraction was interrupted, and the same command takes them in or removes
            them. This is not damage.
    """

    store: str
    rows: int
    files: int
    num_bytes: int
    images: int = 0
    damages: tuple[Damage, ...] = ()
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unreadable: dict[str, str] = field(default_factory=dict)
    repairable: bool = True
    repaired: bool = False
    dropped: int = 0
    unused: tuple[str, ...] = ()

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return {"intact": self.is_intact} | asdict(self)


@dataclass(slots=True)
class _ImageFindings:
    """The result of hashing the images; fields as in `VerifyReport`, `count` as `images`."""

    count: int = 0
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


@plain_arguments(features=check_given_path, images=check_path)
def verify_store(
    features: str | Path,
    *,
    images: str | Path | None = None,
    repair: bool = False,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
) -> VerifyReport:
    """Check every byte of a store and its parts, and that everything in it agrees.

    Args:
        features: The store.
        images: Also hash the images in this folder or archive and compare; the keys are
            relative to it.
        repair: Drop the damaged rows, so that the next `featx.extract` computes just these.
        progress: Whether to show a progress bar; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives progress and failures, in place of these two.

    Returns:
        What was found. Damage is not an exception.

    Raises:
        StoreNotFound: If there is no such store.
        StoreLocked: If it is to be repaired while another process writes to it.
        ImagesNotFound: If there is no such `images`.
        StoreError: If it cannot be repaired.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(3), model=toy_model(), layers=["mean"], output="v.h5")
        >>> verify_store("v.h5").is_intact
        True
    """
    path = _find_store(features, repair)
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    root = None if images is None else _find_root(images)
    with contextlib.ExitStack() as stack:
        if repair:
            stack.enter_context(lock_for_writing(parts_folder(path)))
            stack.enter_context(publishing(path))
        if path.is_dir() or not path.is_file():
            open_store(path).close()  # Says what is there instead.
        found = check_store(path, listener)
        if found.store is not None:
            stack.callback(found.store.close)
        compared = _ImageFindings()
        if root is not None and found.store is not None:
            compared = _compare_images(found, root, listener)
        report = VerifyReport(
            store=location_of(path),
            rows=len(found.lost),
            files=len(found.files),
            num_bytes=sum(file.stat().st_size for file in found.files),
            images=compared.count,
            damages=tuple(found.damages),
            changed=tuple(compared.changed),
            missing=tuple(compared.missing),
            unreadable=compared.unreadable,
            repairable=found.store is not None or bool(open_lost_parts(parts_folder(path))),
            unused=_find_unused(path, found.store),
        )
        if repair and (report.damages or report.changed):
            report = replace(report, repaired=True, dropped=repair_store(path, found))
        if repair:  # Also what a killed repair left that had replaced the store already.
            remove_spent_parts(path)
    return report


def _find_store(features: str | Path, repair: bool) -> Path:
    """Return the file to check; of an address, a copy in which nothing is from earlier."""
    if repair or not is_address(str(features)):
        return writing_path(features)
    return Path(copy_of(str(features), anew=True))


def _find_unused(path: Path, store: FeatureStore | None) -> tuple[str, ...]:
    if store is None:
        return ()
    folder = parts_folder(path)
    used = {part.name for part in referenced_parts(store)}
    parts = [*list_parts(folder), *list_assembled(folder)]
    unused = [location_of(part) for part in parts if part.name not in used]
    return (*unused, *find_unfinished(path))


def _find_root(images: str | Path) -> Root:
    location = str(images) if is_url(str(images)) else os.path.abspath(images)
    root = Root.parse(location)
    if root.is_on_disk and not root.exists():
        raise ImagesNotFound(f"There is no folder or archive {str(images)!r} with the images.")
    return root


def _compare_images(found: Findings, root: Root, listener: Listener) -> _ImageFindings:
    """Hash the images and compare; the rows of those that changed count as lost."""
    assert found.store is not None
    store = found.store
    result = _ImageFindings()
    reader = LocationReader(allow_download=True)  # The user has named `root`.
    listener.start(len(store), "images")
    for row, key in enumerate(store.keys):
        listener.advance(1)
        if found.lost[row]:
            continue
        try:
            content = hash_content(reader.read_key(root, key))
        except FileNotFoundError:
            result.missing.append(key)
            continue
        except (OSError, ImageError) as error:
            strerror = error.strerror if isinstance(error, OSError) else None
            result.unreadable[key] = strerror or str(error)
            listener.failure(root.shown(key), result.unreadable[key])
            continue
        result.count += 1
        if content != store.content_hash[row].tobytes():
            result.changed.append(key)
            found.lost[row] = True
    listener.finish()
    return result
