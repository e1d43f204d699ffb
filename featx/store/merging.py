"""`merge_stores`: one store from several, made by different machines or on different days."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from featx.arguments import (
    check_given_flag,
    check_given_path,
    check_stores,
    plain_arguments,
)
from featx.checks.texts import check_choice
from featx.errors import InvalidValue, StoreError, join_names
from featx.events import Listener, Verbose, choose_listener
from featx.files import describe_wrong_output, is_same_file, resolve_link
from featx.objects.addresses import is_copy, location_of
from featx.objects.publishing import SINGLE_FILE_LIMIT, publishing, writing_path
from featx.shown import Shown
from featx.store.assembly import assemble_store
from featx.store.lock import lock_for_writing
from featx.store.parts import next_part_number, parts_folder, start_merge
from featx.store.planning import Plan, PlannedRows, Precedence, check_same, plan_rows
from featx.store.reader import FeatureStore, open_store
from featx.store.repeated_keys import find_repeated_keys
from featx.store.rows import ContentsDigest, StoreHeader
from featx.store.shared_work import has_unfinished
from featx.store.views import remove_spent_parts
from featx.units import format_count
from featx.wording import option

Keep = Literal["error", "first", "last"]
KEEP_NAMES: tuple[Keep, ...] = ("error", "first", "last")

SHOWN_KEYS = 5
"""Keys that a message names."""

CHECKED_ROWS = 65536
"""Rows that are compared at a time."""


@dataclass(frozen=True, slots=True, repr=False)
class MergeReport(Shown):
    """What `merge_stores` made.

    Attributes:
        output: The store.
        rows: Its rows.
        sources: Stores that went into it.
        duplicates: Keys that several of them have with the same content.
        conflicts: Keys that several of them have with different content.
        unfinished: Stores whose extraction has not finished; of those that were there already, the
            last whole version went in.
    """

    output: str
    rows: int
    sources: int
    duplicates: tuple[str, ...]
    conflicts: tuple[str, ...]
    unfinished: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


@plain_arguments(sources=check_stores, output=check_given_path, partial=check_given_flag)
def merge_stores(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    keep: Keep = "error",
    partial: bool = False,
    single_file_limit: int | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
) -> MergeReport:
    """Make one store from several that were made in the same way.

    Args:
        sources: The stores, paths or addresses. Their keys must be relative to the same folder of
            images.
        output: The store to write; it may be one of the sources, and must not exist otherwise.
        keep: What to do with an image that several stores have with different content:
            ``error`` refuses, ``first`` and ``last`` keep the one of that store.
        partial: Merge what is finished, and leave out the rest, which the report names. What is in
            `output` already stays: the same call later adds what has come.
        single_file_limit: See `featx.extract`; None takes that of the first source.
        verbose: Whether to show notes; in notebooks and on terminals when None.
        listener: Receives notes, in place of that.

    Raises:
        FingerprintMismatch: If they differ in model, preprocessing, layers, pooling or type.
        StoreError: If there are conflicts (see `keep`), `output` exists, or a source has
            unfinished work beside it (see `partial`), or none is finished.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos, model = write_images(9), toy_model()
        >>> for i in (1, 2):
        ...     _ = featx.extract(
        ...         photos, model=model, layers=["mean"], output=f"m{i}.h5", shard=(i, 2)
        ...     )
        >>> merge_stores(["m1.h5", "m2.h5"], "m.h5").rows
        9
    """
    check_choice("way to keep", keep, KEEP_NAMES)
    listener = choose_listener(listener, verbose=verbose)
    target = writing_path(output)
    here = location_of(target)
    paths = [resolve_link(Path(source)) for source in sources]
    # Of a store that is also written, the copy that is current is the one for writing.
    paths = [target if location_of(path) == here else path for path in paths]
    _check_paths(paths, target)
    with lock_for_writing(parts_folder(target)), publishing(target):
        return _merge(paths, target, _Wishes(keep, partial, single_file_limit), listener)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What `merge_stores` was asked for; see there."""

    keep: Keep
    partial: bool
    single_file_limit: int | None


def _merge(paths: list[Path], target: Path, wishes: _Wishes, listener: Listener) -> MergeReport:
    partial = wishes.partial
    unfinished = [path for path in paths if partial and _is_unfinished(path)]
    paths = [path for path in paths if path.exists() or path not in unfinished]
    if not paths:
        raise StoreError("None of the stores is finished yet. The same command merges them then.")
    extends = partial and target.exists() and not any(is_same_file(p, target) for p in paths)
    if extends:
        paths = [target, *paths]
    with contextlib.ExitStack() as stack:
        opened = [_open_source(path, stack, partial=partial) for path in paths]
        duplicates, conflicts = find_repeated_keys(opened)
        if extends:  # That they are in the output, too, is no news.
            duplicates, _ = find_repeated_keys(opened[1:])
        _check_agreement(opened, conflicts if wishes.keep == "error" else [])
        _note_differences(opened, listener)
        precedence = Precedence(earlier_wins=wishes.keep != "last", failures_win=False)
        plan = plan_rows(opened, precedence=precedence)
        rows = PlannedRows(opened, plan, _header(opened[0], target, wishes.single_file_limit))
        own = [store for store in opened if is_same_file(store.path, target)]
        if target.exists() and not own and not _is_merged(target, rows):
            raise StoreError(
                f"{str(target)!r} exists and is left alone. Choose another file with "
                f"{option('output')}, or name it among the stores to be merged."
            )
        start_merge(target)
        first_part = max([0, *(store.next_part for store in own)])
        assemble_store(
            target,
            rows,
            next_part=next_part_number(parts_folder(target), first_part),
            missing=_missing(opened, plan),
        )
        for store in opened:
            store.close()
        remove_spent_parts(target)
    return MergeReport(
        location_of(target),
        len(plan),
        len(paths) - extends,
        tuple(duplicates),
        tuple(conflicts),
        tuple(map(location_of, unfinished)),
    )


def _check_paths(paths: Sequence[Path], target: Path) -> None:
    if not paths:
        raise InvalidValue("Nothing to merge: name two stores or more.")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise StoreError(describe_wrong_output(target))
    for path in paths:
        if any(is_same_file(path, other) for other in paths if other is not path):
            raise InvalidValue(f"{str(path)!r} is named twice.")


def _check_agreement(opened: Sequence[FeatureStore], conflicts: Sequence[str]) -> None:
    """Refuse stores that were made in different ways, or whose images conflict."""
    first = opened[0]
    for store in opened[1:]:
        subject = f"{str(store.path)!r} was made in another way than {str(first.path)!r}."
        check_same(first, store.header, subject, "Make them with the same options, or merge fewer.")
    if conflicts:
        raise StoreError(
            format_count(len(conflicts), "image has", "images have")
            + f" different content in several stores: {_name(conflicts)}. "
            f"Extract again, or choose with {option('keep', 'first', 'last')}."
        )


def _note_differences(opened: Sequence[FeatureStore], listener: Listener) -> None:
    """Note harmless differences of the stores."""
    roots = {str(store.root) for store in opened}
    if len(roots) > 1:
        listener.note(f"the images were in {', '.join(sorted(roots))}: the first counts")
    precisions = {name: None for store in opened for name in store.header.precisions}
    if len(precisions) > 1:
        listener.note(
            "the features were computed in several precisions: "
            f"{join_names([*precisions], conjunction='and')}; new ones will be in float32"
        )
    networks = {name for store in opened for name in store.header.quantized}
    if len(networks) > 1:
        listener.note(
            "the features were computed by several 8-bit networks, each calibrated on pictures of "
            "its own; new ones cannot be added"
        )


def _header(first: FeatureStore, target: Path, single_file_limit: int | None) -> StoreHeader:
    """Return the header of the merged store: that of the first source, at its new path."""
    limit = single_file_limit
    if limit is None:
        limit = SINGLE_FILE_LIMIT if is_copy(target) else first.header.single_file_limit
    return replace(
        first.header,
        root=first.root,
        root_relative=first.root.relative_to(target.absolute().parent),
        runs=(),
        single_file_limit=limit,
    )


def _is_unfinished(path: Path) -> bool:
    """Whether a store is not there yet, or its extraction goes on."""
    if not path.exists():
        return True
    with open_store(path) as store:
        return has_unfinished(store)


def _open_source(path: Path, stack: contextlib.ExitStack, *, partial: bool) -> FeatureStore:
    """Return a store with all that is not features in memory, and its file closed.

    There may be more stores than files that a process may open.
    """
    store = stack.enter_context(open_store(path))
    if not partial and has_unfinished(store):
        raise StoreError(
            f"{str(path)!r} is not finished: its last extraction was interrupted. The same "
            f"command goes on; merge it then, or what is finished with {option('partial', True)}."
        )
    store.load_columns()
    _ = store.root  # It looks into the file, too.
    store.close()
    return store


def _is_merged(target: Path, rows: PlannedRows) -> bool:
    """Whether a store holds these very rows: a merge that was killed just before its end."""
    with contextlib.suppress(StoreError), open_store(target) as made:
        contents = ContentsDigest(rows.header.fingerprint)
        for block in rows.blocks(CHECKED_ROWS, with_features=False):
            contents.update(block.keys, block.content_hash)
        return contents.hexdigest() == made.written_contents
    return False


def _missing(stores: Sequence[FeatureStore], plan: Plan) -> set[str]:
    """Return the keys whose image was gone when their store was made."""
    missing: set[str] = set()
    for number, store in enumerate(stores):
        rows = plan.columns[plan.columns[:, 0] == number, 1]
        missing |= {store.keys[row] for row in rows[store.missing[rows]]}
    return missing


def _name(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN_KEYS:,} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(map(repr, keys[:SHOWN_KEYS])) + more
