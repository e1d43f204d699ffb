"""Finding out what an extraction has to go on with, and what it would do."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from featx.errors import StoreDamaged, StoreError
from featx.events import Listener
from featx.extraction.changes import foresee
from featx.extraction.existing import FormerWork
from featx.extraction.report import ExtractReport
from featx.extraction.running import ExtractionJob
from featx.images.sources import ImageSet
from featx.store.parts import (
    find_afresh,
    list_assembled,
    list_parts,
    next_part_number,
    parts_folder,
)
from featx.store.reader import FeatureStore, open_store
from featx.store.seal import read_seal
from featx.store.views import find_lost, referenced_parts


def open_job(
    output: Path,
    found: ImageSet,
    listener: Listener,
    stack: contextlib.ExitStack,
    *,
    afresh_request: dict[str, Any],
    overwrite: bool,
    retry_failed: bool,
    max_pixels: int | None = None,
) -> ExtractionJob:
    """Find out what there is to go on with: a store, parts of it, parts that replace it.

    Args:
        output: The store.
        found: The images as they are now.
        listener: Receives notes.
        stack: Keeps the store open until the caller closes it.
        afresh_request: What an interrupted ``--overwrite`` would have recorded.
        overwrite: Leave the store out of account; it will be replaced.
        retry_failed: See `ExtractionJob`.
        max_pixels: See `ExtractionJob`.
    """
    folder = parts_folder(output)
    base: FeatureStore | None = None
    if not output.exists():
        _check_not_renamed(output)
    if output.exists() and not overwrite:
        base = stack.enter_context(open_store(output))
    elif output.exists():
        with contextlib.suppress(StoreError):  # A damaged one may be replaced, too.
            base = stack.enter_context(open_store(output))
    if base is not None:
        first = base.next_part
    else:  # Of a store that cannot be read, nobody knows which parts are in use.
        first = next_part_number(folder) if output.exists() else 0
    afresh = find_afresh(folder, afresh_request if overwrite else None)
    if afresh is not None and (afresh >= first or (base is None and output.exists())):
        first, parts, base = afresh, list_parts(folder, afresh), None
    elif overwrite:
        parts, base = [], None
    else:
        # Where the store itself is gone, its parts still hold what was computed.
        parts = list_parts(folder, first) if output.exists() else find_lost(folder)
    return ExtractionJob(
        output,
        found,
        FormerWork(output, base=base, parts=parts, first_part=first),
        listener,
        retry_failed=retry_failed,
        max_pixels=max_pixels,
    )


def _check_not_renamed(output: Path) -> None:
    """Refuse to take the parts of a view that was renamed: finishing would delete them."""
    folder = parts_folder(output)
    if not list_parts(folder) and not list_assembled(folder):
        return
    for path in sorted(folder.parent.iterdir()):
        if path.name.startswith(f"{output.name}.") or not path.is_file() or not _is_view(path):
            continue  # Also what a killed process left half-written.
        used: list[Path] = []
        with contextlib.suppress(StoreDamaged), open_store(path) as view:
            used = referenced_parts(view)
        if any(part.parent == folder.absolute() for part in used):
            raise StoreError(
                f"{str(folder)!r} holds the features of {str(path)!r}, which was renamed. "
                "Choose another name with -o, or give that store its former name again."
            )


def _is_view(path: Path) -> bool:
    with contextlib.suppress(StoreError):
        seal = read_seal(path)
        return seal is not None and seal.kind == "view"
    return False


def describe_dry_run(job: ExtractionJob, prune: bool) -> ExtractReport:
    """Say what the job would do, and name the images that would fail, as far as that is known.

    Hashes the files that may be renamed or identical; decodes none.
    """
    changes, stored = job.changes, job.former.stored
    forecast = foresee(changes, stored)
    identical = forecast.identical
    touched = {key for key, content in identical.items() if stored.content_hash(key) == content}
    reused = {key: content for key, content in identical.items() if key not in touched}
    job.renamed = job.find_renamed(identical)
    gone = len(job.vanished)
    kept = sum(1 for _ in stored.keys) - len(job.renamed) - (gone if prune else 0)
    lost = 0
    for failure in forecast.failures:
        job.listener.failure(failure.key, failure.reason)
        # One that only cannot be read now keeps the features it has.
        lost += failure.key not in stored or not failure.is_passing
    return ExtractReport(
        output=str(job.output),
        rows=kept + len(changes.new) - lost,
        done=len(changes.todo) - len(identical) - len(forecast.failures),
        skipped=job.skipped + len(touched),
        reused=len(reused),
        renamed=len(job.renamed),
        removed=gone if prune else 0,
        missing=0 if prune else gone,
        failed=len(job.failures) + len(forecast.failures),
        dry_run=True,
    )
