"""Any history of a folder and its store: a state machine against a model of dictionaries.

Pictures are written, broken, touched, renamed, copied and deleted; between that the store is
extracted, killed, packed, merged, damaged and repaired, in any order that Hypothesis comes up
with. After each step the store is what the model says, and `verify_store` finds it intact.

The default run takes some seconds, a slow one a minute or two. With the environment variable
``FEATX_LONG=1`` the default one takes about 15 minutes, and processes are also killed for good
(SIGKILL in a forked child)::

    FEATX_LONG=1 pytest tests/test_store_machine.py
"""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from featx.atomic import remove_file
from featx.errors import AllImagesFailed, ImagesNotFound, IndexFileError, StoreError
from featx.extraction import ExtractReport, extract
from featx.images.sharding import shard_of
from featx.index.searching import search
from featx.store import open_store
from featx.store.assembly import assemble_store
from featx.store.merging import Keep, merge_stores
from featx.store.packing import pack_store
from featx.store.parts import PartWriter, list_parts, parts_folder, remove_leftovers
from featx.store.verification import verify_store
from featx.store.views import referenced_parts
from featx.testing import ToyBackbone, toy_model
from tests.folder_model import (
    BROKEN,
    PICTURES,
    Expected,
    Folder,
    Reader,
    StoreState,
    counts,
)
from tests.store_samples import Color

LONG = bool(os.environ.get("FEATX_LONG"))
LONG_SECONDS = 15 * 60

ROW_BYTES = 12
"""Of the layer ``mean``: three numbers."""

KEYS = st.sampled_from(["a.png", "b.png", "x/a.png", "x/é.png", "y/1.png", "y/10.png", "y/2.png"])
CONTENTS = st.sampled_from(PICTURES)
LIMITS = st.sampled_from([None, None, 0, 2 * ROW_BYTES, 4_000_000_000])
OPTIONS = st.fixed_dictionaries(
    {
        "prune": st.booleans(),
        "retry_failed": st.booleans(),
        "batch_size": st.integers(1, 3),
        "single_file_limit": LIMITS,
    }
)
Options = dict[str, Any]


class Killed(BaseException):
    """Stands for the end of the process."""


class Instants:
    """Counts the instants at which a kill matters, and ends the process at one of them.

    Args:
        last: The number of the instant at which it ends, from 0.
        how: ``kill``: nothing that matters is done afterwards; ``ctrl-c``: what is done on the
            way out is; ``sigkill``: this very process is killed.
        store: The store, whose renaming into place is noted.

    Attributes:
        replaced: Whether the store was put in place.
    """

    def __init__(self, last: int, how: str, store: Path) -> None:
        self.left = last
        self.how = how
        self.store = store
        self.ended = False
        self.replaced = False

    def pass_one(self) -> None:
        """Take note of an instant."""
        if self.ended and self.how == "kill":
            raise Killed
        if self.left == 0 and not self.ended:
            self.ended = True
            if self.how == "sigkill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt if self.how == "ctrl-c" else Killed
        self.left -= 1

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the calls around which a kill matters."""
        rename = os.replace

        def replace_noted(source: Path, target: Path) -> None:
            self.pass_one()
            rename(source, target)
            self.replaced |= target == self.store
            self.pass_one()

        targets: dict[str, Callable[..., Any]] = {
            "featx.testing.ToyBackbone.__call__": ToyBackbone.__call__,
            "os.link": os.link,
            "featx.store.parts.remove_file": remove_file,
            "featx.extraction.running.assemble_store": assemble_store,
            "featx.store.views.remove_leftovers": remove_leftovers,
        }
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch("os.replace", replace_noted))
            for name, real in targets.items():
                stack.enter_context(mock.patch(name, self._counted(real)))
            yield

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.pass_one()
            return real(*arguments, **options)

        return call


class FolderMachine(RuleBasedStateMachine):
    """A folder, its store and what may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        # Nothing here survives a power cut anyway.
        self.stack.enter_context(mock.patch.object(os, "fsync"))
        self.home = Path(tempfile.mkdtemp(prefix="featx-machine-"))
        self.stack.callback(shutil.rmtree, self.home)
        self.reader = Reader(self.home / "colors")
        self.folder = Folder(self.home / "photos")
        self.folder.path.mkdir()
        self.path = self.home / "features.h5"
        self.aside: StoreState | None = None
        self.checked: list[tuple[str, int, int]] | None = None

    def teardown(self) -> None:
        self.stack.close()

    @initialize(images=st.dictionaries(KEYS, CONTENTS, max_size=6))
    def fill(self, images: dict[str, Color]) -> None:
        for key, content in images.items():
            self.folder.write(key, content)

    # The folder

    @rule(key=KEYS, content=CONTENTS)
    def write(self, key: str, content: Color) -> None:
        self.folder.write(key, content)

    @rule(key=KEYS)
    def break_one(self, key: str) -> None:
        self.folder.write(key, BROKEN)

    @rule(key=KEYS)
    def touch(self, key: str) -> None:
        if key in self.folder.images:
            self.folder.touch(key)

    @rule(key=KEYS, new=KEYS)
    def rename(self, key: str, new: str) -> None:
        if key in self.folder.images:
            self.folder.rename(key, new)

    @rule(key=KEYS, new=KEYS, with_time=st.booleans())
    def copy(self, key: str, new: str, with_time: bool) -> None:
        if key in self.folder.images:
            self.folder.copy(key, new, with_time=with_time)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        if key in self.folder.images:
            self.folder.delete(key)

    # Extracting

    @rule(options=OPTIONS, overwrite=st.sampled_from([False, False, False, True]))
    def extract(self, options: Options, overwrite: bool) -> None:
        expected = self.folder.expect(prune=options["prune"], overwrite=overwrite)
        with self.refused_if_empty() as refused:
            report = self.run(overwrite=overwrite, **options)
        if not refused:
            self.check_finished(expected, counts(report))

    @rule(options=OPTIONS, overwrite=st.booleans())
    def try_out(self, options: Options, overwrite: bool) -> None:
        before = self.listing()
        del options["batch_size"], options["single_file_limit"]
        with self.refused_if_empty() as refused:
            report = self.run(overwrite=overwrite, dry_run=True, **options)
        if not refused:
            assert counts(report) == self.folder.foretell(overwrite=overwrite, **options)
        assert self.listing() == before

    @rule(
        options=OPTIONS,
        overwrite=st.sampled_from([False, False, True]),
        instant=st.integers(0, 20),
        how=st.sampled_from(["kill", "kill", "ctrl-c", *(["sigkill"] if LONG else [])]),
    )
    def extract_interrupted(
        self, options: Options, overwrite: bool, instant: int, how: str
    ) -> None:
        if not self.folder.images:
            return
        expected = self.folder.expect(prune=options["prune"], overwrite=overwrite)
        instants, before = Instants(instant, how, self.path), self.store_stamp()
        if how == "sigkill":
            reported = self.run_forked(instants, overwrite=overwrite, **options)
        else:
            reported = None
            with contextlib.suppress(Killed, KeyboardInterrupt), instants.watched():
                reported = counts(self.run(overwrite=overwrite, **options))
        if reported is not None:
            self.check_finished(expected, reported)
            return
        now = self.reader.store(self.path) if self.path.exists() else None
        if how == "sigkill":
            instants.replaced = self.store_stamp() != before
        if instants.replaced:
            assert expected.store.same_as(now), (expected.store, now)
            self.folder.store = now
        earlier = self.folder.pending
        self.folder.pending, self.folder.overwriting = self.reader.pending(self.path)
        if instants.replaced:
            assert not self.folder.pending
        elif not overwrite:
            assert all(part in self.folder.pending for part in earlier)

    # The store

    @precondition(lambda self: self.folder.store is not None)
    @rule()
    def pack(self) -> None:
        was_view = self.is_view()
        report = pack_store(self.path)
        assert report.rows == len(self.state.rows)
        if was_view:
            assert not self.is_view()
            self.check_tidy()

    @precondition(lambda self: self.folder.store is not None)
    @rule()
    def set_aside(self) -> None:
        aside = self.home / "aside.h5"
        aside.unlink(missing_ok=True)
        pack_store(self.path, output=aside)
        self.aside = self.folder.store
        assert self.state.same_as(self.reader.store(aside))

    @precondition(lambda self: self.folder.store is not None and self.aside is not None)
    @rule(
        keep=st.sampled_from(["error", "first", "last"]),
        swapped=st.booleans(),
        in_place=st.booleans(),
        limit=LIMITS,
    )
    def merge(self, keep: Keep, swapped: bool, in_place: bool, limit: int | None) -> None:
        assert self.aside is not None
        paths, states = [self.path, self.home / "aside.h5"], [self.state, self.aside]
        if swapped:
            paths, states = paths[::-1], states[::-1]
        output = self.path if in_place else self.home / "merged.h5"
        common = set(states[0].rows) & set(states[1].rows)
        conflicts = {key for key in common if states[0].rows[key] != states[1].rows[key]}
        if self.has_parts_left() or (conflicts and keep == "error"):
            with pytest.raises(StoreError, match="not finished|different content"):
                merge_stores(paths, output, keep=keep, single_file_limit=limit)
            return
        report = merge_stores(paths, output, keep=keep, single_file_limit=limit)
        expected = join(*states, keep=keep)
        assert set(report.conflicts) == conflicts
        assert set(report.duplicates) == common - conflicts
        assert expected.same_as(self.reader.store(output)), (expected, self.reader.store(output))
        assert verify_store(output).is_intact
        if in_place:
            self.folder.finish(expected)
            self.check_tidy()
        else:
            self.remove_store(output)

    @rule(limit=LIMITS)
    def extract_in_shards(self, limit: int | None) -> None:
        if not self.folder.images:
            return
        shards = [self.home / "shard-1.h5", self.home / "shard-2.h5"]
        for number, output in enumerate(shards, 1):
            share = self.folder.shard(
                key for key in self.folder.images if shard_of(key, 2) == number
            )
            report = self.run(output=output, shard=(number, 2), single_file_limit=limit)
            assert counts(report) == share.expect().counts
        plain, merged = self.home / "plain.h5", self.home / "merged.h5"
        self.run(output=plain)
        merge_stores(shards, merged, single_file_limit=limit)
        whole, joined = self.reader.store(plain), self.reader.store(merged)
        assert (joined.rows, joined.ledger) == (whole.rows, whole.ledger)
        assert verify_store(merged).is_intact
        for path in [*shards, plain, merged]:
            self.remove_store(path)

    @precondition(lambda self: self.folder.store is not None)
    @rule(
        place=st.floats(0, 1, exclude_max=True),
        mask=st.integers(1, 255),
        which=st.integers(0, 5),
        repaired=st.sampled_from([True, True, False]),
    )
    def damage(self, place: float, mask: int, which: int, repaired: bool) -> None:
        with open_store(self.path) as store:
            files = [self.path, *referenced_parts(store)]
        file = files[which % len(files)]
        content = bytearray(file.read_bytes())
        content[int(place * len(content))] ^= mask
        file.unlink()  # A part may have a second name.
        file.write_bytes(content)

        found = verify_store(self.path)
        assert [Path(damage.file) for damage in found.damages] == [file]
        lost = {key for damage in found.damages for key in damage.keys}
        if repaired:
            try:
                report = verify_store(self.path, repair=True)
            except StoreError as error:
                repaired = "Extract again with overwrite=True" not in str(error)
        if repaired:
            assert report.dropped == len(found.damages[0].keys)
            now = self.reader.store(self.path)
            if found.rows:  # Its keys could be read: nothing but the named rows is lost.
                kept = {k: c for k, c in self.state.rows.items() if k not in lost}
                assert len(now.rows) == len(self.state.rows) - len(found.damages[0].keys)
                assert now.rows.items() <= self.state.rows.items()
                if not any(key.startswith("(row") for key in lost):
                    assert list(now.rows) == list(kept)
            self.folder.store = now
            self.folder.pending, self.folder.overwriting = self.reader.pending(self.path)
        elif self.folder.images:
            # Which parts it had taken in is not known, except those of an interrupted --overwrite.
            if not can_be_opened(self.path) and not self.folder.overwriting:
                self.folder.pending = []
            expected = self.folder.expect(overwrite=True)
            self.check_finished(expected, counts(self.run(overwrite=True)))
        else:
            self.remove_store(self.path)
            self.folder.store, self.folder.pending, self.folder.overwriting = None, [], False

    @precondition(lambda self: self.folder.store is not None)
    @rule(repair=st.booleans())
    def compare_with_images(self, repair: bool) -> None:
        rows, images = self.state.rows, self.folder.images
        report = verify_store(self.path, images=self.folder.path, repair=repair)
        changed = {key for key, content in rows.items() if images.get(key, content) != content}
        assert set(report.missing) == set(rows) - set(images)
        assert report.is_intact
        assert set(report.changed) == changed
        if repair:
            kept = {key: content for key, content in rows.items() if key not in changed}
            missing = self.state.missing - changed
            self.folder.store = replace(self.state, rows=kept, missing=missing)
            self.folder.pending, self.folder.overwriting = self.reader.pending(self.path)

    @precondition(lambda self: self.folder.store is not None)
    @rule()
    def lose(self) -> None:
        """Delete the store, but not what is beside it."""
        self.path.unlink()
        self.folder.store = None
        self.folder.pending, self.folder.overwriting = self.reader.pending(self.path)

    @precondition(lambda self: self.folder.store is not None)
    @rule(pick=st.integers(0, 20))
    def search(self, pick: int) -> None:
        rows = self.state.rows
        if not rows:
            with pytest.raises(IndexFileError, match="holds no features"):
                search(keys=["a.png"], features=self.path)
            return
        key = list(rows)[pick % len(rows)]
        report = search(keys=[key], features=self.path, k=len(rows))
        assert report.index_size == len(rows)
        matches = report.results[0].matches
        assert {match.key for match in matches} == set(rows) - {key}
        for match in matches:
            assert (match.score > 0.9999) == (rows[match.key] == rows[key])
        scores = [match.score for match in matches]
        assert scores == sorted(scores, reverse=True)

    # After each step

    @invariant()
    def store_is_what_the_model_says(self) -> None:
        if self.listing() == self.checked:
            return
        assert self.path.exists() == (self.folder.store is not None)
        if self.folder.store is not None:
            now = self.reader.store(self.path)
            assert self.folder.store.same_as(now), (self.folder.store, now)
            assert verify_store(self.path).is_intact
        self.checked = self.listing()

    # What the rules share

    @property
    def state(self) -> StoreState:
        assert self.folder.store is not None
        return self.folder.store

    def run(self, **options: Any) -> ExtractReport:
        """Extract; small parts, so that each batch is committed by itself."""
        arguments: Options = {"output": self.path, "workers": 1} | options
        defaults = PartWriter.__init__.__kwdefaults__
        assert defaults is not None
        with mock.patch.dict(defaults, {"max_bytes": ROW_BYTES}):
            try:
                return extract(self.folder.path, model=toy_model(), layers=["mean"], **arguments)
            except AllImagesFailed as error:
                return error.report

    def run_forked(self, instants: Instants, **options: Any) -> dict[str, int] | None:
        """Extract in a process that is killed; return the counts if it got through."""
        out = self.home / "counts"
        out.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                with instants.watched():
                    report = counts(self.run(**options))
                out.write_text(repr(report))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return None
        assert os.WEXITSTATUS(status) == 0
        return dict(ast.literal_eval(out.read_text()))

    @contextlib.contextmanager
    def refused_if_empty(self) -> Iterator[list[bool]]:
        """Take it that an empty folder is refused, and leaves everything as it is."""
        refused: list[bool] = []
        try:
            yield refused
        except ImagesNotFound:
            assert not self.folder.images
            refused.append(True)

    def check_finished(self, expected: Expected, reported: dict[str, int]) -> None:
        """Check all that a finished extraction is to leave behind."""
        assert reported == expected.counts
        now = self.reader.store(self.path)
        assert expected.store.same_as(now), (expected.store, now)
        with open_store(self.path) as store:
            times = dict(zip(store.keys, (store.file_mtime_ns // 10**9).tolist(), strict=True))
        assert times.items() >= {key: self.folder.times[key] for key in self.folder.good}.items()
        self.folder.finish(expected.store)
        self.check_tidy()

    def check_tidy(self) -> None:
        """Check that beside the store lie the parts that are needed, and nothing else."""
        with open_store(self.path) as store:
            needed = {path.name for path in referenced_parts(store)}
            pending = {path.name for path in list_parts(parts_folder(self.path), store.next_part)}
        if self.folder.pending or self.folder.overwriting:
            return
        assert not pending
        folder = parts_folder(self.path)
        present = {path.name for path in folder.iterdir()} if folder.exists() else set()
        assert present - {"lock"} == needed

    def is_view(self) -> bool:
        with open_store(self.path) as store:
            return store.row_map is not None

    def has_parts_left(self) -> bool:
        with open_store(self.path) as store:
            return bool(list_parts(parts_folder(self.path), store.next_part))

    def remove_store(self, path: Path) -> None:
        path.unlink()
        shutil.rmtree(parts_folder(path), ignore_errors=True)

    def store_stamp(self) -> tuple[int, int] | None:
        """What changes when the store is put in place."""
        if not self.path.exists():
            return None
        return self.path.stat().st_ino, self.path.stat().st_mtime_ns

    def listing(self) -> list[tuple[str, int, int]]:
        """The files of the store, with what changes when a file does."""
        folder = parts_folder(self.path)
        files = [self.path, *(sorted(folder.iterdir()) if folder.exists() else [])]
        return [
            (file.name, file.stat().st_ino, file.stat().st_mtime_ns)
            for file in files
            if file.exists()
        ]


def can_be_opened(path: Path) -> bool:
    with contextlib.suppress(StoreError):
        open_store(path).close()
        return True
    return False


def join(first: StoreState, second: StoreState, *, keep: Keep) -> StoreState:
    """What merging two stores must give."""
    rows: dict[str, Color] = dict(first.rows)
    missing, ledger = set(first.missing), dict(first.ledger)
    for key, content in second.rows.items():
        ledger.pop(key, None)
        if key not in rows or keep == "last":
            rows[key] = content
            missing.discard(key)
            if key in second.missing:
                missing.add(key)
    for key, stamp in second.ledger.items():
        if key in rows and keep != "last":
            continue
        rows.pop(key, None)
        missing.discard(key)
        ledger[key] = stamp
    order = dict.fromkeys([*first.rows, *second.rows])
    return StoreState({key: rows[key] for key in order if key in rows}, frozenset(missing), ledger)


@pytest.mark.parametrize(
    ("histories", "steps"),
    [(50, 40) if LONG else (6, 15), pytest.param(50, 30, marks=pytest.mark.slow)],
)
def test_any_history_of_a_folder_and_its_store(histories: int, steps: int) -> None:
    bounds = settings(
        max_examples=histories,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    end = time.monotonic() + (LONG_SECONDS if LONG else 0)
    while True:
        run_state_machine_as_test(FolderMachine, settings=bounds)
        if time.monotonic() >= end:
            break
