"""Parts: how an extraction commits its work while it runs.

Rows collect in memory until a part is due. A part is written under a temporary name, flushed to the
disk, renamed, and never changed again. Part numbers are never reused: a store records which it has
taken in, so that each part counts once, whatever is killed when.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.atomic import make_folder, remove_file, replace_file
from featx.errors import StoreError
from featx.images.sources import ImageFailure
from featx.store.columns import join_columns, plan_columns
from featx.store.format import parts_folder as parts_folder
from featx.store.rows import Announced, Rows, StoreFacts, StoreHeader, longest_key
from featx.store.writing import write_store
from featx.wording import command, option

PART_BYTES = 64 << 20
"""A part is written when its rows reach this size, which bounds the memory."""

PART_SECONDS = 15.0
"""A part is written after this much work at the latest: the most that a kill can lose."""

OVERWRITE_NAME = "overwrite.json"
"""File in a parts folder with the request whose parts replace the store; see `start_overwrite`."""

MERGE_NAME = "merge.json"
"""File in a parts folder whose content was made from other stores and can be made again."""

COLUMNS_KIND = "columns"
"""How the names of files begin that hold parts without their features; see `part_columns`."""

WORK_PREFIX, CLOSED_WORK_PREFIX = "work-", "closed-work-"
"""How folders in a parts folder are called in which workers write; see `shared_work`."""


_NAME = re.compile(rf"(part|rows|{COLUMNS_KIND})-([0-9]{{6,}})\.h5")


def list_parts(folder: Path, first: int = 0) -> list[Path]:
    """Return the finished parts in a parts folder, from number `first` on, oldest first."""
    return [path for path in _list(folder, "part") if part_number(path) >= first]


def list_assembled(folder: Path) -> list[Path]:
    """Return the files in a parts folder that were made from parts or stores, oldest first."""
    return _list(folder, "rows")


def list_columns(folder: Path) -> list[Path]:
    """Return the files in a parts folder that hold columns of parts, oldest first."""
    return _list(folder, COLUMNS_KIND)


def list_work(folder: Path) -> list[Path]:
    """Return the folders for workers in a parts folder: of a writer that works, or was killed."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    prefixes = WORK_PREFIX, CLOSED_WORK_PREFIX
    return [folder / name for name in names if name.startswith(prefixes)]


def next_part_number(folder: Path, least: int = 0) -> int:
    """Return the number above those of all parts in a folder, and not below `least`."""
    return max([least, *(part_number(path) + 1 for path in list_parts(folder))])


def _list(folder: Path, kind: str) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []  # A writer has just finished and removed the folder.
    # Not "part-000000 (copy).h5", which is not ours.
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted((folder / m[0] for m in matches if m and m[1] == kind), key=part_number)


def part_number(path: Path) -> int:
    """Return the number in the name of a part or of a file made from parts.

    Example:
        >>> part_number(Path("features.h5.parts/part-000012.h5"))
        12
    """
    return int(path.stem.partition("-")[2])


class PartWriter:
    """Collects rows and failures and commits them as parts.

    Args:
        folder: The parts folder; created if missing.
        header: What all rows share. Its one run, if there is one, gets the rows and seconds of
            each part.
        first_number: The least number of a part; higher if there are parts already.
        max_bytes: See `PART_BYTES`.
        max_seconds: See `PART_SECONDS`.
        run_facts: Returns further entries of the run's record: engine and precision, which are
            not known before the first batch.
    """

    def __init__(
        self,
        folder: Path,
        header: StoreHeader,
        *,
        first_number: int = 0,
        max_bytes: int = PART_BYTES,
        max_seconds: float = PART_SECONDS,
        run_facts: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._folder = folder
        self._header = header
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._run_facts = run_facts
        self._rows: list[Rows] = []
        self._copies: list[Rows] = []
        self._num_rows = 0
        self._failures: list[ImageFailure] = []
        self._last_commit = time.monotonic()
        # Not later: whoever has renamed the folder since wants nothing more in it.
        make_folder(folder)
        self._next_number = next_part_number(folder, first_number)

    def add(self, rows: Rows) -> None:
        """Add rows; commit if a part is due."""
        self._rows.append(rows)
        self._num_rows += len(rows)
        self._commit_if_due()

    def add_copies(self, rows: Rows) -> None:
        """Add rows that share the features of a row with the same content hash."""
        self._copies.append(rows)
        self._commit_if_due()

    def fail(self, failure: ImageFailure) -> None:
        """Add an entry to the failure ledger; commit if a part is due."""
        self._failures.append(failure)
        self._commit_if_due()

    def commit(self) -> None:
        """Write what was added since the last commit as one part.

        Raises:
            StoreError: If the disk is full or cannot be written; earlier parts stay.
        """
        now = time.monotonic()
        seconds, self._last_commit = now - self._last_commit, now
        if not self._rows and not self._copies and not self._failures:
            return
        path = self._folder / f"part-{self._next_number:06d}.h5"
        runs = tuple(
            {**run, **self._run_facts(), "computed": self._num_rows, "seconds": round(seconds, 3)}
            for run in self._header.runs
        )
        every = [*self._rows, *self._copies]
        with explained(path), replace_file(path) as temporary:
            write_store(
                temporary,
                replace(self._header, runs=runs),
                self._rows,
                Announced(
                    num_rows=self._num_rows,
                    key_bytes=longest_key(key for rows in every for key in rows.keys),
                    classes={label for rows in every for label in rows.labels if label is not None},
                    splits={split for rows in every for split in rows.splits if split is not None},
                    columns=plan_columns(rows.columns for rows in every),
                ),
                StoreFacts(
                    failures=self._failures,
                    copies=_join_copies(self._copies) if self._copies else None,
                ),
            )
        self._next_number += 1
        self._rows, self._copies, self._num_rows, self._failures = [], [], 0, []

    def _commit_if_due(self) -> None:
        num_bytes = self._num_rows * self._header.row_bytes
        waited = time.monotonic() - self._last_commit
        if num_bytes >= self._max_bytes or waited >= self._max_seconds:
            self.commit()


def start_overwrite(folder: Path, request: Mapping[str, Any], first_part: int) -> int:
    """Mark a parts folder: parts from a number on replace the store instead of adding to it.

    Parts of the same request are kept, so that an interrupted ``--overwrite`` is continued.

    Args:
        folder: The parts folder.
        request: The command, to recognise it.
        first_part: The first number that the store has not taken in.

    Returns:
        The number from which on parts replace the store.
    """
    before = find_overwrite(folder, request)
    if before is not None and before >= first_part:
        return before
    marker = folder / OVERWRITE_NAME
    for path in list_parts(folder, first_part):  # Unfinished work, which is abandoned.
        remove_file(path)
    text = json.dumps({"first_part": first_part, "request": request})
    with explained(marker), replace_file(marker) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return first_part


def find_overwrite(folder: Path, request: Mapping[str, Any] | None = None) -> int | None:
    """Return the number from which on parts replace the store; None if they add to it.

    Args:
        folder: The parts folder.
        request: Look only for parts of this request; of any when None.
    """
    try:
        marker = json.loads((folder / OVERWRITE_NAME).read_text(encoding="utf-8"))
        first = int(marker["first_part"])
        recorded = marker["request"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{str(folder / OVERWRITE_NAME)!r} is damaged ({error}). It says that "
            f"{option('overwrite', True)} was interrupted: delete it together with the newest "
            "parts beside it, and run again."
        ) from error
    if request is not None and recorded != json.loads(json.dumps(request)):
        return None
    return first if list_parts(folder, first) else None


def remove_leftovers(
    folder: Path, *, keep: Collection[Path], pending: Collection[Path] = ()
) -> None:
    """Delete the parts, half-written files and markers that a finished store no longer needs.

    Args:
        folder: The parts folder.
        keep: Parts that the store refers to.
        pending: Parts of an interrupted extraction, which stay, with the marker that says
            whether they add to the store or replace it.
    """
    if not pending:
        remove_file(folder / OVERWRITE_NAME)
    kept = {path.name for path in [*keep, *pending]}
    numbers = {part_number(path) for path in pending}
    for path in [*list_parts(folder), *list_assembled(folder), *_list_unfinished(folder)]:
        if path.name not in kept:
            remove_file(path)
    for path in list_columns(folder):
        if part_number(path) not in numbers:
            remove_file(path)
    remove_file(folder / MERGE_NAME)


def _list_unfinished(folder: Path) -> list[Path]:
    """Return the half-written files that killed writers left in a folder."""
    suffix = re.compile(r"\.[0-9]+\.tmp$")
    return [
        folder / name
        for name in (os.listdir(folder) if folder.is_dir() else ())
        if suffix.search(name)
        and (_NAME.fullmatch(suffix.sub("", name)) or name.startswith((OVERWRITE_NAME, MERGE_NAME)))
    ]


def start_merge(path: Path) -> None:
    """Prepare to write a new store from others; remove what a killed merge left.

    Args:
        path: The new store.

    Raises:
        StoreError: If there is no store at `path`, but unfinished work of an extraction.
    """
    folder = parts_folder(path)
    if path.exists():
        return
    if (folder / MERGE_NAME).exists() and not list_parts(folder):
        for work in list_work(folder):
            shutil.rmtree(work, ignore_errors=True)
        remove_leftovers(folder, keep=())
    if list_parts(folder) or list_assembled(folder) or list_work(folder):
        raise StoreError(
            f"{str(folder)!r} holds unfinished work. Finish it with the same {command('extract')}, "
            f"delete the folder, or choose another file with {option('output')}."
        )
    marker = folder / MERGE_NAME
    with explained(marker), replace_file(marker) as temporary:
        temporary.write_text("{}", encoding="utf-8")


def _join_copies(blocks: Sequence[Rows]) -> Rows:
    return Rows(
        keys=[key for rows in blocks for key in rows.keys],
        content_hash=np.concatenate([rows.content_hash for rows in blocks]),
        labels=[label for rows in blocks for label in rows.labels],
        file_size=np.concatenate([rows.file_size for rows in blocks]),
        file_mtime_ns=np.concatenate([rows.file_mtime_ns for rows in blocks]),
        splits=[split for rows in blocks for split in rows.splits],
        columns=join_columns([(rows.columns, len(rows)) for rows in blocks]),
    )


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a failed write into an error that says what is kept and what to do."""
    try:
        yield
    except StoreError:
        raise
    except (OSError, RuntimeError) as error:
        number = getattr(error, "errno", None)
        what = "the disk is full" if number in (errno.ENOSPC, errno.EDQUOT) else str(error)
        no_room = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room" if no_room else "correct that"
        raise StoreError(
            f"{str(path)!r} could not be written: {what}. Everything committed before is "
            f"kept; {remedy} and run the same command again."
        ) from error
