"""One extraction as a job: compare the folder with the store, compute the rest, assemble."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featx.compute import ComputedBatch, Stopwatch, compute_features
from featx.errors import FingerprintMismatch, StoreDamaged, TooManyFailures
from featx.events import Listener
from featx.files import is_same_file
from featx.images.reading import UnchangedImage, read_images
from featx.images.sources import ImageFailure, ImageItem, ImageSet
from featx.models.backbone import Backbone
from featx.specs import identity_differences
from featx.store.format import Rows, StoreHeader
from featx.store.reader import FeatureStore, list_parts, open_store, parts_folder
from featx.store.writer import PartWriter, assemble_store


class ExtractionJob:
    """One extraction: what is stored already, what is to be done, what came out.

    Args:
        output: The store.
        found: The images as they are now.
        listener: Receives progress and failures.
        stack: Keeps the files that are read open until the caller closes it.
        parts: Finished parts of an earlier run to go on with.
        ignore_base: Leave the existing store out of account; it will be replaced.

    Attributes:
        base: The existing store, or None.
        todo: Images to read.
        failures: Images that cannot be used, in this run or, unchanged since, in an earlier.
        vanished: Keys of rows whose image is gone.
        skipped: Images whose features are there already.
        done: Images computed in this run.
    """

    def __init__(
        self,
        output: Path,
        found: ImageSet,
        listener: Listener,
        stack: contextlib.ExitStack,
        *,
        parts: Sequence[Path],
        ignore_base: bool,
    ) -> None:
        self.output = output
        self.listener = listener
        self.folder = parts_folder(output)
        self.base = (
            stack.enter_context(open_store(output)) if output.exists() and not ignore_base else None
        )
        self.parts = [_open_part(path) for path in parts]
        if self.base is not None and len(self.base):
            self._check_root(self.base.path, self.base.root, found.root)
        for part in self.parts:
            self._check_root(self.folder, Path(part.header.root), found.root)

        known: dict[str, tuple[bytes, int, int]] = {}
        ledger: dict[str, ImageFailure] = {}
        for source in self._sources():
            hashes = source.content_hash
            stats = zip(source.file_size.tolist(), source.file_mtime_ns.tolist(), strict=True)
            for row, (key, (size, mtime)) in enumerate(zip(source.keys, stats, strict=True)):
                known[key] = (hashes[row].tobytes(), size, mtime)
                ledger.pop(key, None)
            for failure in source.failures:
                known.pop(failure.key, None)
                ledger[failure.key] = failure
        self._hashes = {key: content for key, (content, _, _) in known.items()}

        self.todo: list[ImageItem] = []
        self.failures: dict[str, ImageFailure] = {}
        self.skipped = self.done = 0
        self.touched: dict[str, tuple[int, int]] = {}
        listed = {item.key for item in found.items}
        for item in found.items:
            stamp = (item.size, item.mtime_ns)
            earlier = ledger.get(item.key)
            if item.key in known and known[item.key][1:] == stamp:
                self.skipped += 1
            elif earlier is not None and (earlier.size, earlier.mtime_ns) == stamp:
                self.failures[item.key] = earlier
            else:
                self.todo.append(item)
        if self.failures:
            listener.note(
                f"{len(self.failures):,} images failed before and have not changed since "
                "(`featx info` says why)"
            )
        # A picture that cannot even be listed now (a link to a disk that is not there) keeps
        # the features it has.
        self.new_failures = [
            f for f in found.failures if f.key not in ledger and f.key not in known
        ]
        for failure in found.failures:
            if failure.key in known or failure.key in ledger:
                listener.failure(failure.key, failure.reason)
            self.failures[failure.key] = failure
        listed |= set(self.failures)
        self._moved = self.base is not None and not is_same_file(self.base.root, found.root)
        # What lies in a folder that cannot be read now is not known to be gone; nor is a picture
        # that this command did not name.
        unread = tuple("" if f.key == "." else f"{f.key}/" for f in found.failures)
        self.vanished = [
            key
            for key in known
            if key not in listed
            and not key.startswith(unread)
            and not os.path.lexists(found.root / key)
        ]
        self.vanished_failures = [
            key for key in ledger if key not in listed and not key.startswith(unread)
        ]

    def is_complete(self, prune: bool) -> bool:
        """Whether the store's file already is what this command would make."""
        pending = self.todo or self.parts or self.vanished_failures or self.new_failures
        return not pending and not self._moved and not (prune and self.vanished)

    def check_header(self, header: StoreHeader) -> None:
        """Refuse to add to a store, or to finish parts, that were made in another way."""
        if self.base is not None:
            _check_same(self.base, header, f"{str(self.output)!r} was made in another way.")
        for part in self.parts:
            _check_same(
                part,
                header,
                f"{str(self.folder)!r} holds unfinished work of another command (delete it to "
                "give that up).",
            )

    def check_failures(self, limit: int | None) -> None:
        """Refuse to go on when more than `limit` images cannot be used, whenever they failed."""
        if limit is not None and len(self.failures) > limit:
            last = list(self.failures.values())[-1]
            raise TooManyFailures(
                f"{len(self.failures)} images failed; the limit is {limit}. The last one: "
                f"{last.key}: {last.reason}. What was computed is kept: the same command "
                "without --strict or --max-failures goes on from here."
            )

    def run(
        self,
        backbone: Backbone,
        batch_size: int,
        workers: int | None,
        max_failures: int | None,
        header: StoreHeader,
    ) -> Stopwatch:
        """Read, compute and write what is to be done."""
        watch = Stopwatch()
        writer = PartWriter(self.folder, header)
        for failure in self.new_failures:
            self._fail(failure, writer, max_failures)
        results = read_images(
            self.todo,
            header.model.input,
            workers=workers,
            lookahead=2 * batch_size,
            is_known=lambda item, content: self._hashes.get(item.key) == content,
        )
        self.listener.start(len(self.todo), "images")
        try:
            for result in compute_features(
                results,
                backbone,
                header.features,
                batch_size=batch_size,
                dtype=header.dtype,
                stopwatch=watch,
            ):
                if isinstance(result, UnchangedImage):
                    self.touched[result.item.key] = (result.item.size, result.item.mtime_ns)
                    self.skipped += 1
                    self.listener.advance(1)
                elif isinstance(result, ImageFailure):
                    self._fail(result, writer, max_failures)
                    self.listener.advance(1)
                else:
                    began = watch.total
                    writer.add(_to_rows(result))
                    watch.write += watch.total - began
                    self.done += len(result.items)
                    self.listener.advance(len(result.items))
        finally:
            # Also after Ctrl-C and errors: what was computed is kept for the next run.
            began = watch.total
            writer.commit()
            watch.write += watch.total - began
            self.listener.finish()
        return watch

    def assemble(self, header: StoreHeader, prune: bool, watch: Stopwatch) -> int:
        """Make the one file; return its number of rows."""
        if self.base is not None and self.is_complete(prune) and not self.touched:
            return len(self.base)
        began = watch.total
        opened = {part.path for part in self.parts}
        self.parts += [_open_part(p) for p in list_parts(self.folder) if p not in opened]
        rows = assemble_store(
            self.output,
            header,
            self._sources(),
            dropped=self.vanished if prune else (),
            file_stats=self.touched,
            dropped_failures=self.vanished_failures,
        )
        watch.write += watch.total - began
        return rows

    def _sources(self) -> list[FeatureStore]:
        """What is stored already, oldest first."""
        return self.parts if self.base is None else [self.base, *self.parts]

    def _check_root(self, where: Path, root: Path, found: Path) -> None:
        """Refuse another folder while the former still exists: equal keys would collide."""
        if root.is_dir() and not is_same_file(root, found):
            raise FingerprintMismatch(
                f"{str(where)!r} holds the images of another folder.",
                [("folder", str(root), str(found))],
                remedy="Write to another file with -o, name the folder that contains both, or "
                "start afresh with --overwrite.",
            )

    def _fail(self, failure: ImageFailure, writer: PartWriter, limit: int | None) -> None:
        writer.fail(failure)
        self.failures[failure.key] = failure
        self.listener.failure(failure.key, failure.reason)
        self.check_failures(limit)


def _to_rows(batch: ComputedBatch) -> Rows:
    return Rows(
        keys=[item.key for item in batch.items],
        content_hash=batch.content_hash,
        labels=[item.label for item in batch.items],
        file_size=np.array([item.size for item in batch.items], np.int64),
        file_mtime_ns=np.array([item.mtime_ns for item in batch.items], np.int64),
        features=batch.features,
    )


def _open_part(path: Path) -> FeatureStore:
    """Read a part's columns; its file is opened again when its features are."""
    try:
        with open_store(path) as part:
            part.load_columns()
        return part
    except StoreDamaged as error:
        raise StoreDamaged(
            f"{error} It is a part of an unfinished extraction: delete that one file and run "
            "again to compute its images anew."
        ) from error


def _check_same(source: FeatureStore, header: StoreHeader, subject: str) -> None:
    expected, received = source.header.identity(), header.identity()
    # Of taps that only one side has, the list of layers says all there is to say.
    common = expected.keys() & received.keys()
    differences = identity_differences(
        {name: value for name, value in expected.items() if name in common},
        {name: value for name, value in received.items() if name in common},
    )
    if differences:
        raise FingerprintMismatch(
            subject,
            differences,
            remedy="Use the same options, write to another file with -o, or start afresh with "
            "--overwrite.",
        )
