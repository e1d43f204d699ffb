"""One extraction as a job: compare the folder with the store, compute the rest, assemble."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from featx.compute import ComputedBatch, Stopwatch, compute_features
from featx.errors import (
    FingerprintMismatch,
    StoreDamaged,
    TooManyFailures,
    join_names,
)
from featx.events import Listener
from featx.files import is_same_file
from featx.images.reading import HASH_BYTES, LOOKAHEAD, KnownImage, read_images
from featx.images.sources import (
    ImageFailure,
    ImageItem,
    ImageSet,
    lies_on_disk,
)
from featx.models.backbone import Backbone
from featx.specs import Decode, Precision
from featx.store.assembly import assemble_store
from featx.store.parts import (
    AFRESH_NAME,
    PartWriter,
    list_parts,
    next_part_number,
    parts_folder,
)
from featx.store.planning import check_same, plan_rows
from featx.store.reader import FeatureStore, open_store
from featx.store.rows import Rows, StoreHeader
from featx.synchronization import (
    FolderChanges,
    StoredImages,
    compare_folder,
    find_renamed,
)
from featx.units import format_count


class ExtractionJob:
    """One extraction: what is stored already, what is to be done, what came out.

    Args:
        output: The store.
        found: The images as they are now.
        listener: Receives progress and failures.
        base: The existing store, open; None if there is none or it will be replaced.
        parts: Finished parts of an earlier run to go on with.
        first_part: Number from which on parts belong to this job.
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
        listener: Listener,
        *,
        base: FeatureStore | None,
        parts: Sequence[Path],
        first_part: int = 0,
        retry_failed: bool = False,
        max_pixels: int | None = None,
    ) -> None:
        self.output = output
        self.found = found
        self.listener = listener
        self.folder = parts_folder(output)
        self.base = base
        self.first_part = first_part
        self.parts = [_open_part(path) for path in parts]
        if base is not None and len(base):
            self._check_root(base.path, base.header.root, base.root)
            if base.part_files is not None:
                base.part_files.check_all()  # Not all is there when a part is not.
        for part in self.parts:
            self._check_root(self.folder, part.header.root, Path(part.header.root))

        self.stored = StoredImages(self._sources())
        if base is not None and lies_on_disk(base.header.root) and not base.root.exists():
            self._check_shared(base)
        self.max_pixels = max_pixels
        self.changes: FolderChanges = compare_folder(
            found, self.stored, retry_failed=retry_failed, retry_limit=max_pixels is not None
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
        self._moved = base is not None and not is_same_file(base.root, found.root)

    @property
    def vanished(self) -> list[str]:
        """Keys of rows whose image is gone, and not merely renamed."""
        return [key for key in self.changes.vanished if key not in self.renamed]

    @cached_property
    def missing(self) -> set[str]:
        """Keys that are to be marked as missing."""
        marked = set() if self.base is None else self.base.missing_keys
        return set(self.changes.vanished) | (marked & self.changes.unknown)

    @property
    def former_precision(self) -> Precision:
        """In which precision the rows that are there were computed; ``auto`` where none are."""
        runs = [run for source in self._sources() for run in source.header.runs]
        former = [run["precision"] for run in runs if run.get("computed") and "precision" in run]
        return former[-1] if former and former[-1] in get_args(Precision) else "auto"

    def check_precision(self, precision: Precision) -> None:
        """Refuse to add features of another precision than those that are there.

        Raises:
            FingerprintMismatch: If one was asked for that is not theirs.
        """
        former = self.former_precision
        if "auto" not in (precision, former) and precision != former:
            raise FingerprintMismatch(
                f"The features in {str(self.output)!r} were computed in another precision.",
                [("precision", former, precision)],
                remedy="Leave out --precision to go on in theirs, write to another file with -o, "
                "or start afresh with --overwrite.",
            )

    @property
    def former_decode(self) -> Decode | None:
        """How the images that are there were decoded; None where none are."""
        sources = self._sources()
        return sources[-1].header.model.input.decode if sources else None

    def is_complete(self, prune: bool) -> bool:
        """Whether the store's file already is what this command would make."""
        changes = self.changes
        if self.found.stream is not None:  # What will come is not known.
            return False
        pending = changes.todo or self.parts or changes.vanished_failures or changes.new_failures
        if pending or self._moved or self.base is None or (prune and changes.vanished):
            return False
        return self.base.missing_keys == self.missing

    def check_header(self, header: StoreHeader) -> None:
        """Refuse to add to a store, or to finish parts, that were made in another way."""
        if self.base is not None:
            check_same(self.base, header, f"{str(self.output)!r} was made in another way.")
        for part in self.parts:
            check_same(
                part,
                header,
                f"{str(self.folder)!r} holds unfinished work of another command (to give that up, "
                f"delete {self._describe_pending()} in it).",
            )

    def _describe_pending(self) -> str:
        """Name the files of unfinished work; the others may be those of the store."""
        names = [part.path.name for part in self.parts]
        marker = [AFRESH_NAME] if (self.folder / AFRESH_NAME).exists() else []
        shown = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        return join_names([*marker, shown], conjunction="and")

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
            self.folder,
            header,
            first_number=self.first_part,
            run_facts=lambda: backbone.run_facts,
        )
        for failure in self.changes.new_failures:
            self._fail(failure, writer, max_failures)
        todo = self.changes.todo
        coming: Iterable[ImageItem] = todo if self.found.stream is None else self._follow()
        known = self.stored.content_hashes() if todo or self.found.stream is not None else set()
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
        opened = {part.path for part in self.parts}
        pending = list_parts(self.folder, self.first_part)
        self.parts += [_open_part(path) for path in pending if path not in opened]
        if prune and self.found.lies_nowhere:
            self._find_left_out()
        self.renamed = self.find_renamed()
        if (
            self.base is not None
            and self.is_complete(prune)
            and self.base.header.single_file_limit == header.single_file_limit
        ):
            return len(self.base)
        sources = self._sources()
        # Not that of a part: an identical file comes behind the batch of the one it equals.
        stored_order = self.base.keys if self.base is not None else ()
        plan = plan_rows(
            sources,
            order=[*stored_order, *(item.key for item in self.found.items), *self.followed],
            dropped=self.changes.vanished if prune else self.renamed,
            dropped_failures=self.changes.vanished_failures,
        )
        assemble_store(
            self.output,
            replace(header, runs=()),
            sources,
            plan,
            next_part=next_part_number(self.folder, self.first_part),
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
        known = set(self.base.keys) if self.base is not None else set()
        known.update(self.changes.vanished)
        foretold = identical or {}
        candidates = {key for part in self.parts for key in part.copies.keys} | set(foretold)
        candidates -= known
        newest: dict[str, bytes] = {}
        copies: dict[str, bytes] = {}  # Of the keys whose newest content came as a copy

        def copy(key: str, content: bytes) -> None:
            if key in candidates and newest.get(key) != content:  # Else only touched.
                newest[key] = copies[key] = content

        for part in self.parts:
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
        return find_renamed(copies.items(), self.changes.vanished, self.stored)

    def _reuse(self, image: KnownImage, writer: PartWriter) -> None:
        """Take an image whose content has features already."""
        same = self.stored.content_hash(image.item.key) == image.content_hash
        if same:
            self.skipped += 1  # Only its time stamp or its label is new.
        else:
            self.reused += 1
        if same and self.stored.is_recorded(image.item):
            return  # Its time is not known, and nothing else is new.
        content_hash = np.frombuffer(image.content_hash, np.uint8).reshape(1, HASH_BYTES)
        writer.add_copies(_to_rows([image.item], content_hash, None))

    def _sources(self) -> list[FeatureStore]:
        """What is stored already, oldest first."""
        return self.parts if self.base is None else [self.base, *self.parts]

    def _follow(self) -> Iterator[ImageItem]:
        """Yield what comes, and remember its keys."""
        assert self.found.stream is not None
        for item in self.found.stream:
            self.followed[item.key] = None
            yield item

    def _find_left_out(self) -> None:
        """Take for gone what was not handed over this time: only when rows are to be pruned."""
        kept = {item.key for item in self.found.items} | self.followed.keys() | self.failures.keys()
        self.changes.vanished = [key for key in self.stored.keys if key not in kept]
        self.changes.vanished_failures = [key for key in self.stored.ledger if key not in kept]

    def _check_root(self, where: Path, recorded: str, root: Path) -> None:
        """Refuse another folder while the former still exists: equal keys would collide.

        Args:
            where: The store or part.
            recorded: The root in its header.
            root: The same, where it lies now.
        """
        found = self.found
        is_path = lies_on_disk(recorded)
        if is_path and found.url is None:
            is_other = root.exists() and not is_same_file(root, found.root)
        else:  # Nobody can know whether a URL has only moved.
            is_other = recorded != found.place
        if is_other:
            raise FingerprintMismatch(
                f"{str(where)!r} holds the images of another folder.",
                [("folder", str(root) if is_path else recorded, found.place)],
                remedy="Write to another file with -o, name the folder that contains both, or "
                "start afresh with --overwrite.",
            )

    def _check_shared(self, base: FeatureStore) -> None:
        """Refuse a folder that has no image in common with a store whose own folder is gone."""
        stored = set(self.stored.keys)
        if stored and stored.isdisjoint(item.key for item in self.found.items):
            raise FingerprintMismatch(
                f"{str(base.path)!r} holds the images of another folder, which is gone: none of "
                "its images is here.",
                [("folder", str(base.root), str(self.found.root))],
                remedy="Bring that folder back, write to another file with -o, or start afresh "
                "with --overwrite.",
            )

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


def _open_part(path: Path) -> FeatureStore:
    """Read a part's columns; its file is opened again when its features are."""
    try:
        with contextlib.closing(open_store(path)) as part:
            part.load_columns()
        return part
    except StoreDamaged as error:
        raise StoreDamaged(
            f"{error} It is a part of an unfinished extraction: delete that one file and run "
            "again to compute its images anew."
        ) from error
