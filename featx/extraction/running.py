"""The run: read, compute and write what a plan says, then make the store of it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.errors import InvalidValue
from featx.events import Listener
from featx.extraction.carried_columns import CarriedColumns
from featx.extraction.plan import Plan, check_failures
from featx.extraction.preparing import Prepared
from featx.extraction.renames import find_renamed
from featx.extraction.report import Outcome
from featx.features.batch_queue import ComputedBatch
from featx.features.computing import Stopwatch, compute_features
from featx.files import HASH_BYTES
from featx.images.reading import LOOKAHEAD, KnownImage, read_images
from featx.images.sources import ImageFailure, ImageItem
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, next_part_number
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import Rows, StoreHeader
from featx.store.shifted import find_shifted_keys


def run(plan: Plan, prepared: Prepared, listener: Listener) -> Outcome:
    """Do what a plan says.

    Raises:
        TooManyFailures: If more images fail than the request allows; what was computed is kept.
        StoreError: If the store cannot be written; what was committed is kept.
    """
    watch = Stopwatch()
    try:
        computed = _compute(plan, prepared, watch, listener)
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
        seconds=_split_seconds(prepared, watch),
        total_seconds=watch.total + prepared.choose_seconds,
        images_choosing=prepared.backbone.choosing.num_images,
    )


def _describe_run(prepared: Prepared) -> dict[str, Any]:
    """Return what a store records of what computes; later parts repeat it."""
    choosing = prepared.backbone.choosing
    spent = _split_choice(prepared)
    facts: dict[str, Any] = {"loading_seconds": round(spent["load"], 3)}
    if choosing.seconds:
        facts |= {
            "converting_seconds": round(spent["convert"], 3),
            "comparing_seconds": round(spent["compare"], 3),
        }
    if choosing.seconds and not prepared.is_chosen:  # Else it is not in the seconds of the run.
        facts |= {
            "choosing_seconds": round(choosing.seconds, 3),
            "choosing_images": choosing.num_images,
        }
    return prepared.backbone.run_facts | facts


def _split_choice(prepared: Prepared) -> dict[str, float]:
    """Return the seconds of loading the model, and of choosing what computes and its parts."""
    choosing = prepared.backbone.choosing
    within = 0.0 if prepared.is_chosen else choosing.seconds
    choose = prepared.choose_seconds + within - choosing.loading
    return {
        "load": prepared.load_seconds + choosing.loading,
        "choose": choose,
        "convert": choosing.converting,
        "compare": max(0.0, choose - choosing.converting - choosing.computing),
    }


def _split_seconds(prepared: Prepared, watch: Stopwatch) -> dict[str, float]:
    """Return where the time went; choosing what computes is not computing.

    Except for the first images, whose results come out of it.
    """
    spent = _split_choice(prepared)
    seconds = {"load": spent["load"], **watch.seconds}
    choosing = prepared.backbone.choosing
    if choosing.seconds:
        seconds |= spent
        if not prepared.is_chosen:
            computing = max(0.0, seconds["compute"] - choosing.seconds) + choosing.computing
            seconds["compute"] = computing
    return seconds


@dataclass(frozen=True, slots=True)
class _Computed:
    """What was read and written as parts.

    Attributes:
        done: Images that were computed.
        touched: Images whose time stamp or label is new, not their content.
        reused: Images that got the features of an identical one.
        failures: Images that cannot be used, by key, in this run or an earlier one.
        followed: Keys of the stream, in its order.
    """

    done: int
    touched: int
    reused: int
    failures: Mapping[str, ImageFailure]
    followed: Sequence[str]


def _compute(plan: Plan, prepared: Prepared, watch: Stopwatch, listener: Listener) -> _Computed:
    """Read, compute and write what is to be done; keep what was computed, whatever happens."""
    options, header = plan.request.run, prepared.header
    todo, stream = plan.changes.todo, plan.found.stream
    followed: list[str] = []
    coming = todo if stream is None else _follow(stream, followed)
    known = plan.stored.content_hashes() if todo or stream is not None else set()
    progress = _Progress(plan, prepared, known, listener)
    images = read_images(
        coming,
        header.model.input,
        workers=options.workers,
        lookahead=max(LOOKAHEAD, 2 * (options.batch_size or 0)),
        known=known,
        max_pixels=options.max_pixels,
    )
    results = compute_features(
        images,
        prepared.backbone,
        header.features,
        batch_size=options.batch_size,
        dtype=header.dtype,
        stopwatch=watch,
        known=known,
    )
    listener.start(len(todo), "images")
    try:
        with contextlib.closing(results):
            for result in results:
                with watch.timing("write"):
                    count = progress.take(result)
                listener.advance(count)
    finally:
        # Also after Ctrl-C and errors: what was computed is kept for the next run.
        with watch.timing("write"):
            progress.commit()
        listener.finish()
    return progress.finish(followed)


def _follow(stream: Iterable[ImageItem], followed: list[str]) -> Iterator[ImageItem]:
    """Yield what comes, and note its keys."""
    for item in stream:
        followed.append(item.key)
        yield item


class _Progress:
    """Takes results as they come: writes them into parts, and counts.

    Args:
        plan: The plan.
        prepared: What it runs with.
        known: Content hashes that have features; those of computed images are added.
        listener: Hears of failures.
    """

    def __init__(
        self, plan: Plan, prepared: Prepared, known: set[bytes], listener: Listener
    ) -> None:
        self._plan = plan
        self._known = known
        self._listener = listener
        self._done = self._touched = self._reused = 0
        self._failures = dict(plan.changes.failures)
        self._columns = CarriedColumns(plan)
        self._writer = PartWriter(
            plan.existing.folder,
            prepared.header,
            first_number=plan.existing.first_part,
            run_facts=lambda: _describe_run(prepared),
        )
        for failure in plan.changes.new_failures:
            self._fail(failure)

    def take(self, result: ComputedBatch | KnownImage | ImageFailure) -> int:
        """Take one result; return how many images it is of.

        Raises:
            TooManyFailures: If more images have failed than the request allows.
        """
        if isinstance(result, ImageFailure):
            self._fail(result)
        elif isinstance(result, KnownImage):
            self._reuse(result)
        else:
            self._writer.add(self._to_rows(result.items, result.content_hash, result.features))
            self._known.update(map(bytes, result.content_hash))
            self._done += len(result.items)
            return len(result.items)
        return 1

    def commit(self) -> None:
        """Write what is not in a part yet."""
        self._writer.commit()

    def finish(self, followed: Sequence[str]) -> _Computed:
        """Return what was done."""
        return _Computed(self._done, self._touched, self._reused, self._failures, followed)

    def _reuse(self, image: KnownImage) -> None:
        """Take an image whose content has features."""
        stored = self._plan.stored
        if stored.holds(image.item.key, image.content_hash):
            self._touched += 1
            if stored.is_recorded(image.item):
                return  # Its time is not known, and nothing else is new.
        else:
            if self._plan.found.keys_are_numbers and image.item.key in stored:
                _refuse_other_order(image.item.key)
            self._reused += 1
        content_hash = np.frombuffer(image.content_hash, np.uint8).reshape(1, HASH_BYTES)
        self._writer.add_copies(self._to_rows([image.item], content_hash, {}))

    def _to_rows(
        self,
        items: Sequence[ImageItem],
        content_hash: np.ndarray,
        features: Mapping[str, np.ndarray],
    ) -> Rows:
        return Rows(
            keys=[item.key for item in items],
            content_hash=content_hash,
            labels=[item.label for item in items],
            file_size=np.array([item.size for item in items], np.int64),
            file_mtime_ns=np.array([item.mtime_ns for item in items], np.int64),
            features=features,
            splits=[item.split for item in items],
            columns=self._columns.find(items, content_hash),
        )

    def _fail(self, failure: ImageFailure) -> None:
        self._writer.fail(failure)
        self._failures[failure.key] = failure
        self._listener.failure(self._plan.found.root.shown(failure.key), failure.reason)
        check_failures(self._failures, self._plan.request.update.failure_limit)


def _refuse_other_order(key: str) -> None:
    raise InvalidValue(
        f"The dataset gives its pictures in another order than before: the one that is {key} now "
        "has another number in the store. Turn shuffling off, give (key, image) or (key, image, "
        "label), or make the store anew with overwrite=True."
    )


def _take_in(plan: Plan, computed: _Computed) -> Plan:
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
