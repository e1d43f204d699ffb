"""The run: read, compute and write what a plan says, then make the store of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from featx.events import Listener
from featx.extraction.carried_columns import CarriedColumns
from featx.extraction.failures import FailureCount
from featx.extraction.plan import Plan
from featx.extraction.preparing import Prepared
from featx.extraction.renames import find_renamed
from featx.extraction.report import Outcome
from featx.extraction.row_writing import Computation, Computed, RowWriter, write_rows
from featx.extraction.run_facts import describe_run, split_seconds
from featx.features.computing import Stopwatch
from featx.images.sources import ImageItem
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, next_part_number
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import StoreHeader
from featx.store.shifted import find_shifted_keys


def run(plan: Plan, prepared: Prepared, listener: Listener) -> Outcome:
    """Do what a plan says.

    Raises:
        TooManyFailures: If more images fail than the request allows; what was computed is kept.
        StoreError: If the store cannot be written; what was committed is kept.
    """
    watch = Stopwatch()
    compute = _compute
    if plan.changes.todo and plan.request.update.cluster is not None:
        from featx.extraction.clustered import compute_on_cluster

        compute = compute_on_cluster
    try:
        computed = compute(plan, prepared, watch, listener)
    except KeyboardInterrupt:
        listener.note("what was computed is kept: the same command goes on from there")
        raise
    with watch.timing("write"):
        final = _take_in(plan, computed)
        renamed = find_renamed(final)
        rows = _assemble(final, prepared.header, renamed, computed.followed)
    return Outcome(
        rows=rows,
        done=computed.done,
        skipped=plan.changes.unchanged + computed.touched,
        reused=computed.reused,
        renamed=renamed,
        vanished=final.changes.vanished,
        failures=computed.failures,
        seconds=split_seconds(prepared, watch),
        total_seconds=watch.total + prepared.choose_seconds,
        images_choosing=prepared.backbone.choosing.num_images,
        run=prepared.backbone.run_facts if computed.done else {},
    )


def _compute(plan: Plan, prepared: Prepared, watch: Stopwatch, listener: Listener) -> Computed:
    """Read, compute and write what is to be done; keep what was computed, whatever happens."""
    todo, stream = plan.changes.todo, plan.found.stream
    followed: list[str] = []
    failures = FailureCount(plan, listener)
    rows = RowWriter(
        PartWriter(
            plan.existing.folder,
            prepared.header,
            first_number=plan.existing.first_part,
            run_facts=lambda: describe_run(prepared),
        ),
        plan.stored,
        CarriedColumns(plan.stored, plan.changes.vanished),
        plan.stored.content_hashes() if todo or stream is not None else set(),
        failures.add,
        keys_are_numbers=plan.found.keys_are_numbers,
    )
    for failure in plan.changes.new_failures:
        rows.take(failure)
    listener.start(len(todo), "images")
    try:
        write_rows(
            todo if stream is None else _follow(stream, followed),
            Computation(prepared.backbone, prepared.header, plan.request.run),
            rows,
            watch,
            listener.advance,
        )
    finally:
        listener.finish()
    return Computed(rows.done, rows.touched, rows.reused, failures.by_key, followed)


def _follow(stream: Iterable[ImageItem], followed: list[str]) -> Iterator[ImageItem]:
    """Yield what comes, and note its keys."""
    for item in stream:
        followed.append(item.key)
        yield item


def _take_in(plan: Plan, computed: Computed) -> Plan:
    """Return the plan as it is after the run: with its parts, and what was left out as gone."""
    changes = plan.changes
    if plan.request.update.prune and plan.found.root.is_in_memory:
        kept = {item.key for item in plan.found.items}
        kept.update(computed.followed, computed.failures)
        changes = changes.without_left_out(plan.stored, kept)
    return replace(plan, existing=plan.existing.with_written_parts(), changes=changes)


def _assemble(
    plan: Plan, header: StoreHeader, renamed: Collection[str], followed: Iterable[str]
) -> int:
    """Make the store; return its number of rows.

    Args:
        plan: The plan after the run.
        header: The header of the store.
        renamed: Keys whose image has another name.
        followed: Keys of the stream, in its order.
    """
    existing = plan.existing
    base = existing.base
    is_same_form = base is not None and base.header.single_file_limit == header.single_file_limit
    if base is not None and plan.is_complete and is_same_form:
        return len(base)
    stored_order = base.keys if base is not None else ()
    dropped = plan.changes.vanished if plan.request.update.prune else renamed
    rows = plan_rows(
        existing.sources,
        # Not the order of parts: identical images follow the batch of the one they equal.
        order=[*stored_order, *(item.key for item in plan.found.items), *followed],
        dropped=dropped,
        dropped_failures=plan.changes.vanished_failures,
    )
    assemble_store(
        plan.request.output,
        PlannedRows(existing.sources, rows, replace(header, runs=())),
        next_part=next_part_number(existing.folder, existing.first_part),
        missing=plan.missing.difference(plan.changes.vanished if plan.request.update.prune else ()),
        shifted=find_shifted_keys(existing.sources),
    )
    return len(rows)
