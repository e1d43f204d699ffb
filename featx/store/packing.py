"""`pack_store`: one file from a store that is a view of its parts."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from featx.arguments import check_given_path, plain_arguments
from featx.checks.texts import check_path
from featx.errors import StoreError
from featx.events import Listener, Verbose, choose_listener
from featx.files import describe_wrong_output, is_same_file, resolve_link
from featx.objects.addresses import location_of
from featx.objects.copies import copy_of
from featx.objects.publishing import publishing, writing_path
from featx.shown import Shown
from featx.store.assembly import assemble_store
from featx.store.lock import lock_for_writing
from featx.store.parts import parts_folder, start_merge
from featx.store.planning import PlannedRows, plan_rows
from featx.store.reader import FeatureStore, open_store
from featx.store.views import remove_spent_parts
from featx.wording import option

UNLIMITED = 1 << 62
"""More bytes than any store has."""


@dataclass(frozen=True, slots=True, repr=False)
class PackReport(Shown):
    """What `pack_store` made.

    Attributes:
        output: The one file.
        rows: Its rows.
        num_bytes: Its size.
        parts: Part files that went into it; 0 if it was one file already.
    """

    output: str
    rows: int
    num_bytes: int
    parts: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


@plain_arguments(features=check_given_path, output=check_path)
def pack_store(
    features: str | Path,
    *,
    output: str | Path | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
) -> PackReport:
    """Make one file of a store, in place or as a copy elsewhere.

    Args:
        features: The store.
        output: Where to write the file; None replaces the store and removes its parts.
        verbose: Whether to show notes; in notebooks and on terminals when None.
        listener: Receives notes, in place of that.

    Raises:
        StoreNotFound: If there is no such store.
        StoreDamaged: If a part is missing or damaged; the store stays as it is.
        StoreError: If `output` exists, or cannot be written.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(
        ...     write_images(3), model=toy_model(), layers=["mean"], output="p.h5",
        ...     single_file_limit=0,
        ... )
        >>> pack_store("p.h5").parts
        1
    """
    listener = choose_listener(listener, verbose=verbose)
    target = writing_path(features if output is None else output)
    path = target
    if output is not None and location_of(writing_path(features)) != location_of(target):
        path = resolve_link(Path(copy_of(str(features))))
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise StoreError(describe_wrong_output(target))
    in_place = output is None or is_same_file(path, target)
    with contextlib.ExitStack() as stack:
        stack.enter_context(lock_for_writing(parts_folder(target)))
        stack.enter_context(publishing(target))
        if not in_place and target.exists():
            raise StoreError(
                f"{str(target)!r} exists and is left alone. Choose another file with "
                f"{option('output')}."
            )
        store = stack.enter_context(open_store(path))
        start_merge(target)
        parts = [] if store.row_map is None else store.row_map.parts
        if in_place and store.row_map is None:
            listener.note(f"{str(path)!r} is one file already")
        else:
            _write_one_file(store, target, in_place=in_place)
        remove_spent_parts(target)  # Also what a killed `pack` left that had replaced the store.
        return PackReport(location_of(target), len(store), target.stat().st_size, len(parts))


def _write_one_file(store: FeatureStore, target: Path, *, in_place: bool) -> None:
    # It stays one file when images are added, until `featx extract` is told otherwise.
    header = replace(store.header, single_file_limit=UNLIMITED)
    if not in_place:
        root_relative = store.root.relative_to(target.absolute().parent)
        header = replace(header, root_relative=root_relative)
    assemble_store(
        target,
        PlannedRows([store], plan_rows([store]), header),
        next_part=store.next_part if in_place else 0,
        missing=store.missing_keys,
    )
