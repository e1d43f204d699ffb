"""What earlier extractions have left: a store, finished parts of it, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from featx.errors import StoreDamaged, StoreError
from featx.input_spec import InputSpec
from featx.options import InputOptions
from featx.specs import NAMED_SOURCES, Precision
from featx.store.part_columns import open_columns
from featx.store.parts import (
    find_overwrite,
    list_assembled,
    list_parts,
    next_part_number,
    parts_folder,
)
from featx.store.reader import FeatureStore, open_store
from featx.store.seal import read_seal
from featx.store.views import find_lost, referenced_parts
from featx.wording import option


@dataclass(frozen=True, slots=True)
class ExistingWork:
    """The store as it is, and the finished parts that are not in it yet.

    Attributes:
        output: The store.
        base: The store, open; None if there is none or it will be replaced.
        parts: Finished parts, oldest first, with their columns in memory.
        first_part: Number from which on parts are not in the store.
    """

    output: Path
    base: FeatureStore | None
    parts: tuple[FeatureStore, ...]
    first_part: int

    @property
    def folder(self) -> Path:
        """The folder of parts."""
        return parts_folder(self.output)

    @property
    def sources(self) -> tuple[FeatureStore, ...]:
        """What is stored, oldest first."""
        return self.parts if self.base is None else (self.base, *self.parts)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions in which the rows were computed."""
        recorded = {name for source in self.sources for name in source.header.precisions}
        known: tuple[Precision, ...] = get_args(Precision)
        return tuple(name for name in known if name in recorded)

    @property
    def precision(self) -> Precision:
        """The precision to go on in; ``auto`` where there are no rows.

        Where there are several, float32, which is near to each of them.
        """
        precisions = self.precisions
        return "auto" if not precisions else precisions[0] if len(precisions) == 1 else "float32"

    @property
    def quantized(self) -> str:
        """The 8-bit network that rows were computed with; empty where none were.

        Raises:
            StoreError: If there are several, as after a merge: new rows could belong to one only.
        """
        names = {name for source in self.sources for name in source.header.quantized}
        if len(names) > 1:
            raise StoreError(
                f"The features in {str(self.output)!r} were computed by several 8-bit networks, "
                "and new ones would suit only one of them. Write to another file with "
                f"{option('output')}."
            )
        return "".join(names)

    def continue_with(self, input: InputOptions) -> InputOptions:
        """Return how pictures become pixels: as the stored ones did where nothing else is asked.

        So decoding goes on as it began, and how to scale for a network that does not say it is
        asked once for each store. Named networks say it themselves, in a table that does not
        change.
        """
        if not self.sources:
            return input
        model = self.sources[-1].header.model
        if input.decode is None:
            input = replace(input, decode=model.input.decode)
        if input.icc is None:
            input = replace(input, icc=model.input.icc)
        # Parts without a store may be those of an overwrite with another scaling, which was killed.
        is_asked = self.base is None or model.source in NAMED_SOURCES
        if input.preprocess == "auto" and not is_asked:
            order = input.channel_order or model.input.channel_order
            scaling = model.input.scaling or "auto"
            input = replace(input, preprocess=scaling, channel_order=order)
        return input

    @property
    def contract(self) -> InputSpec | None:
        """The input contract of the stored features; None where there are none."""
        sources = self.sources
        return sources[-1].header.model.input if sources else None

    def with_written_parts(self) -> ExistingWork:
        """Return the same with the parts that were written since."""
        opened = {part.path for part in self.parts}
        written = list_parts(self.folder, self.first_part)
        added = [_open_part(path) for path in written if path not in opened]
        return replace(self, parts=(*self.parts, *added))


@contextlib.contextmanager
def open_existing(output: Path, overwritten: Mapping[str, Any] | None) -> Iterator[ExistingWork]:
    """Open what there is to go on with: a store, parts of it, or parts that replace it.

    Args:
        output: The store.
        overwritten: Where the store is to be replaced, what an interrupted ``--overwrite`` of this
            command would have recorded: only parts of such a one are used. Else None.

    Raises:
        StoreError: If the store cannot be read, or the parts belong to one that was renamed.
    """
    folder = parts_folder(output)
    with contextlib.ExitStack() as stack:
        if not output.exists():
            _check_not_renamed(output)
        base: FeatureStore | None = None
        if output.exists():
            try:
                base = stack.enter_context(open_store(output))
            except StoreError:
                if overwritten is None:  # A damaged store may be replaced, too.
                    raise
        if base is not None:
            first = base.next_part
        else:  # Which parts an unreadable store uses is not known.
            first = next_part_number(folder) if output.exists() else 0
        replacing = find_overwrite(folder, overwritten)
        if replacing is not None and (replacing >= first or (base is None and output.exists())):
            first, parts, base = replacing, list_parts(folder, replacing), None
        elif overwritten is not None:
            parts, base = [], None
        else:
            # Where the store itself is gone, its parts still hold what was computed.
            parts = list_parts(folder, first) if output.exists() else find_lost(folder)
        yield ExistingWork(output, base, tuple(map(_open_part, parts)), first)


def _open_part(path: Path) -> FeatureStore:
    """Read a part's columns; its file is opened again when its features are read."""
    try:
        return open_columns(path)
    except StoreDamaged as error:
        raise StoreDamaged(
            f"{error} It is a part of an unfinished extraction: delete that one file, and "
            "the next run computes its images again."
        ) from error


def _check_not_renamed(output: Path) -> None:
    """Refuse to take the parts of a view that was renamed: finishing would delete them."""
    folder = parts_folder(output)
    if not list_parts(folder) and not list_assembled(folder):
        return
    for path in sorted(folder.parent.iterdir()):
        if path.name.startswith(f"{output.name}.") or not path.is_file() or not _is_view(path):
            continue  # Also skips what a killed process left half-written.
        used: list[Path] = []
        with contextlib.suppress(StoreDamaged), open_store(path) as view:
            used = referenced_parts(view)
        if any(part.parent == folder.absolute() for part in used):
            raise StoreError(
                f"{str(folder)!r} holds the features of {str(path)!r}, which was renamed. Choose "
                f"another name with {option('output')}, or give that store its previous name again."
            )


def _is_view(path: Path) -> bool:
    with contextlib.suppress(StoreError):
        seal = read_seal(path)
        return seal is not None and seal.kind == "view"
    return False
