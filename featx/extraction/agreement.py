"""Whether an extraction may go on with existing work: same images, features and precision."""

from __future__ import annotations

from pathlib import Path

from featx.errors import FingerprintMismatch, join_names
from featx.events import Listener
from featx.extraction.existing import ExistingWork
from featx.extraction.stored import StoredImages
from featx.images.roots import Root
from featx.images.sources import ImageSet
from featx.specs import Precision
from featx.store.parts import OVERWRITE_NAME
from featx.store.planning import check_same
from featx.store.rows import StoreHeader
from featx.wording import option


def check_roots(existing: ExistingWork, found: ImageSet) -> None:
    """Refuse the images of another folder: equal keys would collide.

    Raises:
        FingerprintMismatch: If they are.
        StoreDamaged: If a part that the store refers to is missing.
    """
    base = existing.base
    if base is not None and len(base):
        _check_root(found, base.path, base.root)
        if base.part_files is not None:
            base.part_files.check_all()
    for part in existing.parts:
        _check_root(found, existing.folder, part.header.root)


def _check_root(found: ImageSet, path: Path, root: Root) -> None:
    """Refuse another folder while the recorded one still exists.

    Args:
        found: The images as they are now.
        path: The store or the folder of parts.
        root: Its root, where that is now.
    """
    is_other = not root.is_same(found.root)
    if root.is_on_disk and found.root.is_on_disk:  # Nobody can tell whether a URL has moved.
        is_other = is_other and root.exists()
    if is_other:
        raise FingerprintMismatch(
            f"{str(path)!r} holds the images of another folder.",
            [("folder", str(root), str(found.root))],
            remedy=f"Write to another file with {option('output')}, name the folder that contains "
            f"both, or start over with {option('overwrite', True)}.",
        )


def check_common_images(existing: ExistingWork, stored: StoredImages, found: ImageSet) -> None:
    """Refuse a folder that shares no image with a store whose own folder is gone.

    Raises:
        FingerprintMismatch: If it shares none.
    """
    base = existing.base
    if base is None or not base.root.is_on_disk or base.root.exists():
        return
    keys = set(stored.keys)
    if keys and keys.isdisjoint(item.key for item in found.items):
        raise FingerprintMismatch(
            f"{str(base.path)!r} holds the images of another folder, which is gone: none of "
            "its images is here.",
            [("folder", str(base.root), str(found.root))],
            remedy=f"Bring that folder back, write to another file with {option('output')}, or "
            f"start over with {option('overwrite', True)}.",
        )


def check_precision(existing: ExistingWork, precision: Precision, listener: Listener) -> None:
    """Refuse to add features in a precision that the stored ones do not have.

    Raises:
        FingerprintMismatch: If one was asked for that is none of theirs.
    """
    precisions = existing.precisions
    recorded = join_names(list(precisions), conjunction="and")
    if precision == "auto" and len(precisions) > 1:
        listener.note(
            f"the existing features are in several precisions, {recorded}: new ones are in float32"
        )
    if precisions and precision not in ("auto", *precisions):
        raise FingerprintMismatch(
            f"The features in {str(existing.output)!r} were computed in another precision.",
            [("precision", recorded, precision)],
            remedy=f"Leave out {option('precision')} to go on in theirs, write to another file "
            f"with {option('output')}, or start over with {option('overwrite', True)}.",
        )


def check_header(existing: ExistingWork, header: StoreHeader) -> None:
    """Refuse to add to a store, or to finish parts, that were made in another way.

    Raises:
        FingerprintMismatch: Names each field that differs.
    """
    remedy = (
        f"Use the same options, write to another file with {option('output')}, or start over with "
        f"{option('overwrite', True)}."
    )
    if existing.base is not None:
        subject = f"{str(existing.output)!r} was made in another way."
        check_same(existing.base, header, subject, remedy)
    for part in existing.parts:
        check_same(
            part,
            header,
            f"{str(existing.folder)!r} holds unfinished work of another command (to give that up, "
            f"delete {_describe_pending(existing)} in it).",
            remedy,
        )


def _describe_pending(existing: ExistingWork) -> str:
    """Name the files of unfinished work; other files may belong to the store."""
    names = [part.path.name for part in existing.parts]
    marker = [OVERWRITE_NAME] if (existing.folder / OVERWRITE_NAME).exists() else []
    shown = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    return join_names([*marker, shown], conjunction="and")
