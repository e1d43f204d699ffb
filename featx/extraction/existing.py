"""What an extraction goes on with, and whether it may: the store as it is, and unfinished parts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import get_args

from featx.errors import FingerprintMismatch, StoreDamaged, join_names
from featx.events import Listener
from featx.extraction.changes import StoredImages
from featx.images.roots import Root
from featx.images.sources import ImageSet
from featx.specs import Decode, Precision
from featx.store.parts import AFRESH_NAME, list_parts, parts_folder
from featx.store.planning import check_same
from featx.store.reader import FeatureStore, open_store
from featx.store.rows import StoreHeader


class FormerWork:
    """What earlier extractions have left: a store, finished parts of it, or nothing.

    Args:
        output: The store.
        base: The store, open; None if there is none or it will be replaced.
        parts: Finished parts of an earlier run to go on with.
        first_part: Number from which on parts are not in the store.

    Attributes:
        folder: Where parts lie.
        parts: The parts, their columns in memory.
    """

    def __init__(
        self,
        output: Path,
        *,
        base: FeatureStore | None,
        parts: Sequence[Path],
        first_part: int,
    ) -> None:
        self.output = output
        self.folder = parts_folder(output)
        self.base = base
        self.first_part = first_part
        self.parts = [_open_part(path) for path in parts]

    @property
    def sources(self) -> list[FeatureStore]:
        """What is stored already, oldest first."""
        return self.parts if self.base is None else [self.base, *self.parts]

    @cached_property
    def stored(self) -> StoredImages:
        """What is stored of each image, as it was at the beginning."""
        return StoredImages(self.sources)

    def take_in_parts(self) -> None:
        """Open the parts that were written since."""
        opened = {part.path for part in self.parts}
        written = list_parts(self.folder, self.first_part)
        self.parts += [_open_part(path) for path in written if path not in opened]

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """In which precisions the rows that are there were computed."""
        former = {name for source in self.sources for name in source.header.precisions}
        known: tuple[Precision, ...] = get_args(Precision)
        return tuple(name for name in known if name in former)

    @property
    def precision(self) -> Precision:
        """In which precision to go on; ``auto`` where there is nothing.

        Where there are several, float32, which is near to each of them.
        """
        precisions = self.precisions
        return "auto" if not precisions else precisions[0] if len(precisions) == 1 else "float32"

    def check_precision(self, precision: Precision, listener: Listener) -> None:
        """Refuse to add features of a precision that those that are there do not have.

        Raises:
            FingerprintMismatch: If one was asked for that is none of theirs.
        """
        former = join_names(list(self.precisions), conjunction="and")
        if precision == "auto" and len(self.precisions) > 1:
            listener.note(
                f"the features that are there are in several precisions, {former}: new ones are in "
                "float32"
            )
        if self.precisions and precision not in ("auto", *self.precisions):
            raise FingerprintMismatch(
                f"The features in {str(self.output)!r} were computed in another precision.",
                [("precision", former, precision)],
                remedy="Leave out --precision to go on in theirs, write to another file with -o, "
                "or start afresh with --overwrite.",
            )

    @property
    def decode(self) -> Decode | None:
        """How the images that are there were decoded; None where none are."""
        sources = self.sources
        return sources[-1].header.model.input.decode if sources else None

    def check_images(self, found: ImageSet) -> None:
        """Refuse the images of another folder than those that are there.

        Raises:
            FingerprintMismatch: If they are.
            StoreDamaged: If a part that the store refers to is missing.
        """
        base = self.base
        if base is not None and len(base):
            self._check_root(found, base.path, base.root)
            if base.part_files is not None:
                base.part_files.check_all()  # Not all is there when a part is not.
        for part in self.parts:
            self._check_root(found, self.folder, part.header.root)
        if base is not None and base.root.is_on_disk and not base.root.exists():
            self._check_shared(found, base)

    def check_header(self, header: StoreHeader) -> None:
        """Refuse to add to a store, or to finish parts, that were made in another way."""
        if self.base is not None:
            check_same(self.base, header, f"{str(self.output)!r} was made in another way.")
        for part in self.parts:
            check_same(
                part,
                header,
                f"{str(self.folder)!r} holds unfinished work of another command (to give that up, "
                f"delete {self._describe_pending()} in it).",
            )

    def _describe_pending(self) -> str:
        """Name the files of unfinished work; the others may be those of the store."""
        names = [part.path.name for part in self.parts]
        marker = [AFRESH_NAME] if (self.folder / AFRESH_NAME).exists() else []
        shown = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        return join_names([*marker, shown], conjunction="and")

    def _check_root(self, found: ImageSet, where: Path, root: Root) -> None:
        """Refuse another folder while the former still exists: equal keys would collide.

        Args:
            found: The images as they are now.
            where: The store or part.
            root: Its root, where that is now.
        """
        is_other = not root.is_same(found.root)
        if root.is_on_disk and found.root.is_on_disk:  # Of a URL, nobody can know if it has moved.
            is_other = is_other and root.exists()
        if is_other:
            raise FingerprintMismatch(
                f"{str(where)!r} holds the images of another folder.",
                [("folder", str(root), str(found.root))],
                remedy="Write to another file with -o, name the folder that contains both, or "
                "start afresh with --overwrite.",
            )

    def _check_shared(self, found: ImageSet, base: FeatureStore) -> None:
        """Refuse a folder that has no image in common with a store whose own folder is gone."""
        stored = set(self.stored.keys)
        if stored and stored.isdisjoint(item.key for item in found.items):
            raise FingerprintMismatch(
                f"{str(base.path)!r} holds the images of another folder, which is gone: none of "
                "its images is here.",
                [("folder", str(base.root), str(found.root))],
                remedy="Bring that folder back, write to another file with -o, or start afresh "
                "with --overwrite.",
            )


def _open_part(path: Path) -> FeatureStore:
    """Read a part's columns; its file is opened again when its features are."""
    try:
        with contextlib.closing(open_store(path)) as part:
            part.load_columns()
        return part
    except StoreDamaged as error:
        raise StoreDamaged(
            f"{error} It is a part of an unfinished extraction: delete that one file and run "
            "again to compute its images anew."
        ) from error
