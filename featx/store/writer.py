"""Writing a store: finished parts of bounded size, then one file made from them.

While an extraction runs, rows collect in memory until a part is due; a part is written
under a temporary name, flushed to the disk and renamed, and never touched again. At the
end the user's file is made from its former version and the parts, and replaced at once.
Whatever instant a process is killed at, every part that was reported stays.
"""

from __future__ import annotations

import errno
import glob
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featx.atomic import replace_file
from featx.errors import StoreError
from featx.images.reading import HASH_BYTES
from featx.images.sources import ImageFailure
from featx.store.format import Rows, StoreHeader, write_store
from featx.store.reader import BLOCK_BYTES, FeatureStore, list_parts

PART_BYTES = 64 << 20
"""A part is written when its rows reach this size: memory is bounded by it."""

PART_SECONDS = 15.0
"""A part is written at the latest after this much work: the most that a kill can lose."""

AFRESH_NAME = "overwrite.json"
"""In a parts folder: the request whose parts replace the store, see `start_afresh`."""


class PartWriter:
    """Collects rows and failures and commits them as parts.

    Args:
        folder: The parts folder; created if missing.
        header: What all rows share.
        max_bytes: See `PART_BYTES`.
        max_seconds: See `PART_SECONDS`.
    """

    def __init__(
        self,
        folder: Path,
        header: StoreHeader,
        *,
        max_bytes: int = PART_BYTES,
        max_seconds: float = PART_SECONDS,
    ) -> None:
        self._folder = folder
        self._header = header
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._rows: list[Rows] = []
        self._num_rows = 0
        self._failures: list[ImageFailure] = []
        self._last_commit = time.monotonic()
        numbers = [int(path.stem.removeprefix("part-")) for path in list_parts(folder)]
        self._next_number = max(numbers, default=-1) + 1

    def add(self, rows: Rows) -> None:
        """Take rows; commit if a part is due."""
        self._rows.append(rows)
        self._num_rows += len(rows.keys)
        self._commit_if_due()

    def fail(self, failure: ImageFailure) -> None:
        """Take one entry of the failure ledger; commit if a part is due."""
        self._failures.append(failure)
        self._commit_if_due()

    def commit(self) -> None:
        """Write what was taken since the last commit as one part.

        Raises:
            StoreError: If the disk is full or cannot be written; earlier parts stay.
        """
        self._last_commit = time.monotonic()
        if not self._rows and not self._failures:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"part-{self._next_number:06d}.h5"
        labels = {label for rows in self._rows for label in rows.labels if label is not None}
        with _explained(path), replace_file(path) as temporary:
            write_store(
                temporary,
                self._header,
                num_rows=self._num_rows,
                classes=labels,
                blocks=self._rows,
                failures=self._failures,
            )
        self._next_number += 1
        self._rows, self._num_rows, self._failures = [], 0, []

    def _commit_if_due(self) -> None:
        num_bytes = self._num_rows * self._header.row_bytes
        waited = time.monotonic() - self._last_commit
        if num_bytes >= self._max_bytes or waited >= self._max_seconds:
            self.commit()


def assemble_store(
    path: Path,
    header: StoreHeader,
    sources: Sequence[FeatureStore],
    *,
    dropped: Collection[str] = (),
    file_stats: Mapping[str, tuple[int, int]] | None = None,
    dropped_failures: Collection[str] = (),
) -> int:
    """Make the user's one file from its former version and the parts, all at once.

    Args:
        path: The store to write.
        header: Its header.
        sources: Open stores, oldest first: a later row or failure of a key replaces an
            earlier one.
        dropped: Keys whose rows are left out.
        file_stats: New ``(size, mtime_ns)`` for keys whose content did not change.
        dropped_failures: Keys whose entries in the failure ledger are left out.

    Returns:
        The number of rows.

    Raises:
        StoreError: If the disk is full or cannot be written; the former file stays.
    """
    owner: dict[str, int] = {}
    contents: dict[str, bytes] = {}
    failures: dict[str, ImageFailure] = {}
    for number, source in enumerate(sources):
        for key, content in zip(source.keys, source.content_hash, strict=True):
            # A process killed while it removed its parts leaves rows that are in the former
            # version already: these keep their place.
            if key not in owner or contents[key] != content.tobytes():
                owner[key], contents[key] = number, content.tobytes()
            failures.pop(key, None)
        for failure in source.failures:
            # It changed and can no longer be read: the old row is not its feature any more.
            owner.pop(failure.key, None)
            failures[failure.key] = failure
    for key in dropped:
        owner.pop(key, None)
    for key in dropped_failures:
        failures.pop(key, None)

    kept = [
        [row for row, key in enumerate(source.keys) if owner.get(key) == number]
        for number, source in enumerate(sources)
    ]
    classes = {
        label
        for source, rows in zip(sources, kept, strict=True)
        for label in {source.labels[row] for row in rows}
        if label is not None
    }
    num_rows = sum(len(rows) for rows in kept)

    def blocks() -> Iterator[Rows]:
        step = max(1, BLOCK_BYTES // max(1, header.row_bytes))
        for source, rows in zip(sources, kept, strict=True):
            for start in range(0, len(rows), step):
                yield _read_rows(source, rows[start : start + step], file_stats or {})
            source.close()  # A long run has more parts than a process may have files open.

    # A writer that was killed here left its file; this one holds the lock, so it is nobody's.
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.[0-9]*.tmp"):
        leftover.unlink(missing_ok=True)
    with _explained(path), replace_file(path) as temporary:
        write_store(
            temporary,
            header,
            num_rows=num_rows,
            classes=classes,
            blocks=blocks(),
            failures=list(failures.values()),
        )
    return num_rows


def start_afresh(folder: Path, request: Mapping[str, Any]) -> None:
    """Mark a parts folder as one whose parts will replace the store instead of adding to it.

    Parts of the same request are kept, so that an interrupted ``--overwrite`` goes on too.
    """
    if is_afresh(folder, request):
        return
    marker = folder / AFRESH_NAME
    text = json.dumps(request)
    remove_parts(folder)
    with _explained(marker), replace_file(marker) as temporary:
        temporary.write_text(text, encoding="utf-8")


def is_afresh(folder: Path, request: Mapping[str, Any] | None = None) -> bool:
    """Whether a folder holds parts that will replace the store; see `start_afresh`.

    Args:
        folder: The parts folder.
        request: Ask only for parts of this request; of any when None.
    """
    marker = folder / AFRESH_NAME
    if not marker.exists() or not list_parts(folder):
        return False
    return request is None or marker.read_text(encoding="utf-8") == json.dumps(request)


def remove_parts(folder: Path) -> None:
    """Delete the parts in a folder, finished or not; its lock stays with its owner.

    The oldest first: what is left when the process is killed here is the newest there was.
    """
    (folder / AFRESH_NAME).unlink(missing_ok=True)
    for path in sorted(folder.glob("part-*")):
        path.unlink(missing_ok=True)


def _read_rows(
    source: FeatureStore, rows: Sequence[int], file_stats: Mapping[str, tuple[int, int]]
) -> Rows:
    keys = [source.keys[row] for row in rows]
    stats = [
        file_stats.get(key, (int(source.file_size[row]), int(source.file_mtime_ns[row])))
        for key, row in zip(keys, rows, strict=True)
    ]
    contiguous = rows[-1] - rows[0] + 1 == len(rows)
    selection = slice(rows[0], rows[-1] + 1) if contiguous else list(rows)
    return Rows(
        keys=keys,
        content_hash=source.content_hash[selection].reshape(-1, HASH_BYTES),
        labels=[source.labels[row] for row in rows],
        file_size=np.array([size for size, _ in stats], np.int64),
        file_mtime_ns=np.array([mtime for _, mtime in stats], np.int64),
        features={tap: source.read_rows(tap, selection) for tap in source.taps},
    )


class _explained:
    """Turns a failed write into an error that says what is safe and what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, (OSError, RuntimeError)) or isinstance(error, StoreError):
            return
        number = getattr(error, "errno", None)
        what = "the disk is full" if number in (errno.ENOSPC, errno.EDQUOT) else str(error)
        no_room = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room" if no_room else "correct that"
        raise StoreError(
            f"{str(self._path)!r} could not be written: {what}. Everything committed before is "
            f"kept; {remedy} and run the same command again."
        ) from error
