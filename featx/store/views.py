"""Views: stores whose features stay in part files, and the map from rows to parts."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from featx.atomic import make_folder, replace_file
from featx.errors import StoreDamaged
from featx.files import relative_path
from featx.store.parts import (
    explained,
    list_assembled,
    list_parts,
    part_number,
    parts_folder,
    remove_leftovers,
)
from featx.store.planning import Plan, PlannedRows
from featx.store.reader import FeatureStore, open_store
from featx.store.rows import PartReference, RowMap, StoreFacts
from featx.store.seal import read_seal
from featx.store.stored_layers import BLOCK_BYTES
from featx.store.writing import write_store

MAX_RUNS = 10_000
"""Most pieces of consecutive rows in a view; above that, parts are rewritten in order. Writing a
piece takes 0.3 ms, and HDF5 visits all of them at every read of a virtual dataset."""

LEAST_USED = 0.5
"""A part with a smaller share in use is rewritten: at most half of the disk space is wasted."""

SMALL_BYTES = 8 << 20
"""A part with fewer bytes of features is small; more than `MAX_SMALL` of them are joined."""

MAX_SMALL = 64
"""Most small parts of a view; without a limit, each added image would leave a file for good."""

ASSEMBLED_BYTES = 1 << 30
"""Size of the files that are made from worn parts and other stores: large enough to be few, small
enough to copy."""


def referenced_parts(store: FeatureStore) -> list[Path]:
    """Return the part files that a store needs; none if it is one file."""
    files = store.part_files
    return [] if files is None else [files.path(i) for i in range(len(files.row_map.parts))]


def remove_spent_parts(path: Path) -> None:
    """Delete the parts that a store has taken in and no longer needs.

    Parts that it refers to stay, and so does unfinished work, which it has not taken in.
    """
    folder = parts_folder(path)
    with open_store(path) as store:
        pending = list_parts(folder, store.next_part)
        remove_leftovers(folder, keep=referenced_parts(store), pending=pending)


def find_lost(folder: Path) -> list[Path]:
    """Return all files in a parts folder whose store is gone, oldest rows first."""
    ages = {path: float(part_number(path)) for path in list_parts(folder)}
    for path in list_assembled(folder):
        with contextlib.closing(FeatureStore(path)) as made:
            ages[path] = made.next_part - 0.5  # Newer than all parts that it was made from.
    return sorted(ages, key=ages.__getitem__)


def make_row_map(
    path: Path, rows: PlannedRows, next_part: int, damaged: Collection[Path] = ()
) -> RowMap:
    """Return which part file holds each row; make parts of rows that are in none yet.

    A part that the previous view names is used only if it is still the one that was recorded.

    The previous store as one file becomes a part by a second name (a hard link). Rows of stores
    elsewhere, of parts that are hardly used or very small, and of damaged ones are copied.

    Args:
        path: The view that is to be written.
        rows: Its rows.
        next_part: The first part number that is not in it.
        damaged: Absolute paths of part files that must not be used.

    Raises:
        StoreDamaged: If a part that the previous view names is missing or another one.
    """
    folder = parts_folder(path).absolute()
    files: dict[Path, int] = {}  # file → rows in it; a file's number is its position here
    part, index = _locate(rows, files, damaged)
    used = np.bincount(part, minlength=len(files))
    own = {file for file in files if file.parent == folder or file == path.absolute()}
    kept = _choose_kept(files, used, own - set(damaged), rows.header.row_bytes)
    if len(RowMap((), part, index).runs()) > MAX_RUNS:
        kept = [False] * len(files)

    make_folder(folder)
    paths, counts = list(files), list(files.values())
    for number, file in enumerate(paths):
        if kept[number] and file.parent != folder:
            paths[number] = _next_path(folder)
            _link(file, paths[number])
    copied = np.flatnonzero(~np.array(kept, bool)[part])
    step = max(1, ASSEMBLED_BYTES // max(1, rows.header.row_bytes))
    for start in range(0, len(copied), step):
        chosen = copied[start : start + step]
        target = _next_path(folder)
        _write_part(target, rows, chosen, next_part)
        part[chosen], index[chosen] = len(paths), np.arange(len(chosen))
        paths.append(target)
        counts.append(len(chosen))

    in_use, part = np.unique(part, return_inverse=True)
    home = path.absolute().parent
    references = tuple(_refer(paths[number], home, counts[number]) for number in in_use.tolist())
    return RowMap(references, part.astype(np.int32), index)


def _choose_kept(
    files: Mapping[Path, int], used: np.ndarray, usable: Collection[Path], row_bytes: int
) -> list[bool]:
    """Return which files become parts of the view as they are; rows of the others are copied.

    Args:
        files: File → rows in it.
        used: Rows of each file that the view needs.
        usable: Files that are intact, and in the view's own folder.
        row_bytes: Bytes of the features of a row.
    """
    small = SMALL_BYTES // max(1, row_bytes)
    too_many = sum(num_rows <= small for num_rows in files.values()) > MAX_SMALL
    return [
        file in usable
        and bool(used[number] >= LEAST_USED * num_rows)
        and not (too_many and num_rows <= small)
        for number, (file, num_rows) in enumerate(files.items())
    ]


def _locate(
    rows: PlannedRows, files: dict[Path, int], damaged: Collection[Path]
) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each row, the number of its file and its row there; add the files to `files`."""
    part = np.empty(len(rows.plan), np.int32)
    index = np.empty(len(rows.plan), np.int64)
    for number, source in enumerate(rows.sources):
        chosen = np.flatnonzero(rows.plan.features[:, 0] == number)
        positions = rows.plan.features[chosen, 1]
        view = source.part_files
        if view is None:
            if len(chosen):
                part[chosen], index[chosen] = len(files), positions
                files[source.path.absolute()] = len(source)
        else:
            first = len(files)
            for i, reference in enumerate(view.row_map.parts):
                if view.path(i) not in damaged:
                    view.check(i)
                files[view.path(i)] = reference.num_rows
            part[chosen] = first + view.row_map.part[positions]
            index[chosen] = view.row_map.row[positions]
    return part, index


def _refer(file: Path, home: Path, num_rows: int) -> PartReference:
    seal = read_seal(file)
    if seal is None:
        raise StoreDamaged(f"The part {str(file)!r} is damaged: it has no seal.")
    return PartReference(relative_path(file, home), seal.sha256, num_rows)


def _next_path(folder: Path) -> Path:
    """Return a name for a file made from others, which is never unfinished work as a part is."""
    last = max((part_number(path) for path in list_assembled(folder)), default=-1)
    return folder / f"rows-{last + 1:06d}.h5"


def _write_part(target: Path, rows: PlannedRows, chosen: np.ndarray, next_part: int) -> None:
    plan = Plan(rows.plan.columns[chosen], rows.plan.features[chosen], ())
    some = PlannedRows(rows.sources, plan, rows.header)
    with explained(target), replace_file(target) as temporary:
        write_store(
            temporary,
            replace(rows.header, runs=()),
            some.blocks(max(1, BLOCK_BYTES // max(1, rows.header.row_bytes))),
            some.announce(),
            # If the view is lost, this tells which parts are newer than these rows.
            StoreFacts(next_part=next_part),
        )


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where the file system has no hard links."""
    with explained(target), replace_file(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
