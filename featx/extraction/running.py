"""One extraction as a job: compare the folder with the store, compute the rest, assemble."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from featx.errors import TooManyFailures
from featx.events import Listener
from featx.extraction.changes import FolderChanges, compare_folder, find_renamed
from featx.extraction.existing import FormerWork
from featx.features.computing import ComputedBatch, Stopwatch, compute_features
from featx.images.reading import HASH_BYTES, LOOKAHEAD, KnownImage, read_images
from featx.images.sources import ImageFailure, ImageItem, ImageSet
from featx.models.backbone import Backbone
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, next_part_number
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import Rows, StoreHeader
from featx.units import format_count


class ExtractionJob:
    """One extraction: what is stored already, what is to be done, what came out.

    Args:
        output: The store.
        found: The images as they are now.
        former: What is stored already.
        listener: Receives progress and failures.
        retry_failed: Also read again what failed and has not changed since.
        max_pixels: Largest picture that is decoded; None for the usual limit.

    Attributes:
        changes: What is new, changed and gone.
        failures: Images that cannot be used, in this run or, unchanged since, in an earlier.
        skipped: Images whose features are there already.
        reused: Images that are identical to another one, whose features they got.
        renamed: Keys of rows whose image now has another name.
        done: Images computed in this run.
    """

    def __init__(
        self,
        output: Path,
        found: ImageSet,
        former: FormerWork,
        listener: Listener,
        *,
        retry_failed: bool = False,
        max_pixels: int | None = None,
    ) -> None:
        self.output = output
        self.found = found
        self.former = former
        self.listener = listener
        former.check_images(found)
        self.max_pixels = max_pixels
        self.changes: FolderChanges = compare_folder(
            found, former.stored, retry_failed=retry_failed, retry_limit=max_pixels is not None
        )
        self.followed: dict[str, None] = {}  # keys of the stream, in its order
        self.skipped = self.changes.unchanged
        self.done = self.reused = 0
        self.renamed: set[str] = set()
        self.failures = dict(self.changes.failures)
        unchanged = len(self.failures) - len(found.failures)
        if unchanged:
            listener.note(
                format_count(
                    unchanged,
                    "image failed before and has not changed since ",
                    "images failed before and have not changed since ",
                )
                + "(`featx info` says why; --retry-failed tries again)"
            )
        for failure in found.failures:
            if failure not in self.changes.new_failures:
                listener.failure(failure.key, failure.reason)
        base = former.base
        self._moved = base is not None and not base.root.is_same(found.root)

    @property
    def vanished(self) -> list[str]:
        """Keys of rows whose image is gone, and not merely renamed."""
        return [key for key in self.changes.vanished if key not in self.renamed]

    @cached_property
    def missing(self) -> set[str]:
        """Keys that are to be marked as missing."""
        marked = set() if self.former.base is None else self.former.base.missing_keys
        return set(self.changes.vanished) | (marked & self.changes.unknown)

    def is_complete(self, prune: bool) -> bool:
        """Whether the store's file already is what this command would make."""
        changes = self.changes
        if self.found.stream is not None:  # What will come is not known.
            return False
        base, parts = self.former.base, self.former.parts
        pending = changes.todo or parts or changes.vanished_failures or changes.new_failures
        if pending or self._moved or base is None or (prune and changes.vanished):
            return False
        return base.missing_keys == self.missing

    def check_failures(self, limit: int | None) -> None:
        """Refuse to go on when more than `limit` images cannot be used, whenever they failed."""
        if limit is not None and len(self.failures) > limit:
            last = list(self.failures.values())[-1]
            raise TooManyFailures(
                f"{format_count(len(self.failures), 'image')} failed; the limit is {limit}. "
                f"The last one: {last.key}: {last.reason}. What was computed is kept: the same "
                "command without --strict or --max-failures goes on from here."
            )

    def name_failures(self) -> None:
        """Name the images that cannot be used, without trying: failed before, or not to be listed.

        A run names those that are new when it records them, and of the others their number.
        """
        new = {failure.key for failure in self.changes.new_failures}
        listed = {failure.key for failure in self.found.failures}
        for failure in self.failures.values():
            if failure.key not in listed:
                self.listener.failure(failure.key, f"{failure.reason} (in an earlier run)")
            elif failure.key in new:
                self.listener.failure(failure.key, failure.reason)

    def run(
        self,
        backbone: Backbone,
        batch_size: int | None,
        workers: int | None,
        max_failures: int | None,
        header: StoreHeader,
    ) -> Stopwatch:
        """Read, compute and write what is to be done."""
        watch = Stopwatch()
        writer = PartWriter(
            self.former.folder,
            header,
            first_number=self.former.first_part,
            run_facts=lambda: backbone.run_facts,
        )
        for failure in self.changes.new_failures:
            self._fail(failure, writer, max_failures)
        todo = self.changes.todo
        is_stream = self.found.stream is not None
        coming: Iterable[ImageItem] = self._follow() if is_stream else todo
        known = self.former.stored.content_hashes() if todo or is_stream else set()
        images = read_images(
            coming,
            header.model.input,
            workers=workers,
            lookahead=max(LOOKAHEAD, 2 * (batch_size or 0)),
            known=known,
            max_pixels=self.max_pixels,
        )
        results = compute_features(
            images,
            backbone,
            header.features,
            batch_size=batch_size,
            dtype=header.dtype,
            stopwatch=watch,
            known=known,
        )
        self.listener.start(len(todo), "images")
        try:
            with contextlib.closing(results):
                for result in results:
                    began = watch.total
                    if isinstance(result, ImageFailure):
                        self._fail(result, writer, max_failures)
                    elif isinstance(result, KnownImage):
                        self._reuse(result, writer)
                    else:
                        writer.add(_to_rows(result.items, result.content_hash, result))
                        known.update(map(bytes, result.content_hash))
                        self.done += len(result.items)
                    watch.write += watch.total - began
                    count = len(result.items) if isinstance(result, ComputedBatch) else 1
                    self.listener.advance(count)
        finally:
            # Also after Ctrl-C and errors: what was computed is kept for the next run.
            began = watch.total
            writer.commit()
            watch.write += watch.total - began
            self.listener.finish()
        return watch

    def assemble(self, header: StoreHeader, prune: bool, watch: Stopwatch) -> int:
        """Make the store; return its number of rows."""
        began = watch.total
        former = self.former
        former.take_in_parts()
        if prune and self.found.root.is_in_memory:
            self._find_left_out()
        self.renamed = self.find_renamed()
        if (
            former.base is not None
            and self.is_complete(prune)
            and former.base.header.single_file_limit == header.single_file_limit
        ):
            return len(former.base)
        # Not that of a part: an identical file comes behind the batch of the one it equals.
        stored_order = former.base.keys if former.base is not None else ()
        plan = plan_rows(
            former.sources,
            order=[*stored_order, *(item.key for item in self.found.items), *self.followed],
            dropped=self.changes.vanished if prune else self.renamed,
            dropped_failures=self.changes.vanished_failures,
        )
        assemble_store(
            self.output,
            PlannedRows(former.sources, plan, replace(header, runs=())),
            next_part=next_part_number(former.folder, former.first_part),
            missing=self.missing.difference(self.changes.vanished if prune else ()),
        )
        watch.write += watch.total - began
        return len(plan)

    def find_renamed(self, identical: Mapping[str, bytes] | None = None) -> set[str]:
        """Return the keys that have vanished while identical images came under new names.

        Args:
            identical: Of what is to be read, the images that are identical to others, with their
                content: to foretell what is in no part yet. None when all was read.
        """
        if not self.changes.vanished:
            return set()
        base, parts = self.former.base, self.former.parts
        known = set(base.keys) if base is not None else set()
        known.update(self.changes.vanished)
        foretold = identical or {}
        candidates = {key for part in parts for key in part.copies.keys} | set(foretold)
        candidates -= known
        newest: dict[str, bytes] = {}
        copies: dict[str, bytes] = {}  # Of the keys whose newest content came as a copy

        def copy(key: str, content: bytes) -> None:
            if key in candidates and newest.get(key) != content:  # Else only touched.
                newest[key] = copies[key] = content

        for part in parts:
            for key, row in zip(part.keys, part.content_hash, strict=True):
                if key in candidates:
                    newest[key] = row.tobytes()
                    copies.pop(key, None)
            for key, row in zip(part.copies.keys, part.copies.content_hash, strict=True):
                copy(key, row.tobytes())
            for failure in part.failures:
                newest.pop(failure.key, None)
                copies.pop(failure.key, None)
        if identical is not None:
            for item in self.changes.todo:
                if item.key in foretold:
                    copy(item.key, foretold[item.key])
                else:
                    copies.pop(item.key, None)
        return find_renamed(copies.items(), self.changes.vanished, self.former.stored)

    def _reuse(self, image: KnownImage, writer: PartWriter) -> None:
        """Take an image whose content has features already."""
        same = self.former.stored.content_hash(image.item.key) == image.content_hash
        if same:
            self.skipped += 1  # Only its time stamp or its label is new.
        else:
            self.reused += 1
        if same and self.former.stored.is_recorded(image.item):
            return  # Its time is not known, and nothing else is new.
        content_hash = np.frombuffer(image.content_hash, np.uint8).reshape(1, HASH_BYTES)
        writer.add_copies(_to_rows([image.item], content_hash, None))

    def _follow(self) -> Iterator[ImageItem]:
        """Yield what comes, and remember its keys."""
        assert self.found.stream is not None
        for item in self.found.stream:
            self.followed[item.key] = None
            yield item

    def _find_left_out(self) -> None:
        """Take for gone what was not handed over this time: only when rows are to be pruned."""
        kept = {item.key for item in self.found.items} | self.followed.keys() | self.failures.keys()
        self.changes.vanished = [key for key in self.former.stored.keys if key not in kept]
        self.changes.vanished_failures = [
            key for key in self.former.stored.ledger if key not in kept
        ]

    def _fail(self, failure: ImageFailure, writer: PartWriter, limit: int | None) -> None:
        writer.fail(failure)
        self.failures[failure.key] = failure
        self.listener.failure(failure.key, failure.reason)
        self.check_failures(limit)


def _to_rows(
    items: Sequence[ImageItem], content_hash: np.ndarray, batch: ComputedBatch | None
) -> Rows:
    features: dict[str, Any] = {} if batch is None else batch.features
    return Rows(
        keys=[item.key for item in items],
        content_hash=content_hash,
        labels=[item.label for item in items],
        file_size=np.array([item.size for item in items], np.int64),
        file_mtime_ns=np.array([item.mtime_ns for item in items], np.int64),
        features=features,
        splits=[item.split for item in items],
    )
