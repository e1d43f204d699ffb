"""Making a store from its previous version and finished parts: one file, or a view of the parts."""

from __future__ import annotations

import glob
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from featx.atomic import replace_file
from featx.store.parts import explained
from featx.store.planning import PlannedRows
from featx.store.reader import FeatureStore
from featx.store.rows import StoreFacts
from featx.store.shifted import mark_run
from featx.store.stored_layers import BLOCK_BYTES
from featx.store.views import make_row_map
from featx.store.writing import write_store

VIEW_BLOCK_ROWS = 65536
"""Rows of a view whose columns are written at a time."""

MAX_RECORDED_RUNS = 100
"""Runs that a store records, the newest."""


def assemble_store(
    path: Path,
    rows: PlannedRows,
    *,
    next_part: int,
    missing: Collection[str] = (),
    damaged: Collection[Path] = (),
    shifted: Collection[str] | None = None,
) -> None:
    """Make a store from open sources: one file, or a view above the limit.

    Sources that are parts in the store's own folder are referred to by a view; all others (the
    previous version of the store as one file, stores to be merged) are first made parts of it.

    Args:
        path: The store to write.
        rows: Its rows. The limit in their header decides between file and view.
        next_part: The first part number that is not among the sources; see `StoreFacts`.
        missing: Keys whose image is gone.
        damaged: Part files that must not be used: their rows are copied.
        shifted: Keys whose rows are in doubt, to be recorded; see `featx.store.shifted`.

    Raises:
        StoreError: If the disk is full or cannot be written; the previous store stays.
    """
    # A killed writer left its file; since this one holds the lock, nobody is writing it.
    for leftover in path.parent.glob(f"{glob.escape(path.name)}.[0-9]*.tmp"):
        leftover.unlink(missing_ok=True)
    runs = _join_runs(rows.sources)
    if shifted is not None:
        runs = tuple(mark_run(run, shifted) for run in runs)
    header, plan = replace(rows.header, runs=runs), rows.plan
    facts = StoreFacts(failures=plan.failures, missing=frozenset(missing).intersection(rows.keys()))
    if len(plan) * header.row_bytes > header.single_file_limit:
        row_map = make_row_map(path, rows, next_part, damaged)
        blocks = rows.blocks(VIEW_BLOCK_ROWS, with_features=False)
    else:
        row_map = None
        blocks = rows.blocks(max(1, BLOCK_BYTES // max(1, header.row_bytes)))
    with explained(path), replace_file(path) as temporary:
        write_store(
            temporary,
            header,
            blocks,
            rows.announce(),
            replace(facts, next_part=next_part, row_map=row_map),
        )


def _join_runs(sources: Sequence[FeatureStore]) -> tuple[Mapping[str, Any], ...]:
    """Add up the records of the same run, in the order in which the runs began."""
    runs: dict[str, dict[str, Any]] = {}
    for source in sources:
        for run in source.header.runs:
            started = str(run.get("started"))
            known = runs.get(started, {"computed": 0, "seconds": 0})
            runs[started] = {
                **known,
                **run,  # A first part of failures and copies does not say what computes.
                "computed": known["computed"] + run.get("computed", 0),
                "seconds": round(known["seconds"] + run.get("seconds", 0.0), 3),
            }
    ordered = sorted(runs.values(), key=lambda run: str(run.get("started")))
    older, newest = ordered[:-MAX_RECORDED_RUNS], ordered[-MAX_RECORDED_RUNS:]
    # The last run of each older precision is kept: a continued extraction asks for it.
    kept = {run.get("precision") for run in newest}
    last = {run.get("precision"): run for run in older if run["computed"]}
    return (*(run for name, run in last.items() if name not in kept), *newest)
