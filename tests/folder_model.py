"""What a folder of pictures and the store made from it must be: dictionaries, and nothing clever.

Pictures have one colour each, of a few: identical files are frequent, and a content is a colour.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from featx.extraction import ExtractReport
from featx.files import hash_content
from featx.images.sources import label_of, natural_key
from featx.store import open_store
from featx.store.parts import find_overwrite, list_assembled, list_parts, parts_folder
from featx.store.reader import FeatureStore
from tests.store_samples import Color, mean_of, write_color

BROKEN: Color = (-1, -1, -1)
"""The content of a file that is no picture."""

PICTURES: tuple[Color, ...] = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 0))
"""Colours that point in different directions: a search tells them apart."""

COUNTS = ("rows", "done", "skipped", "reused", "renamed", "removed", "missing", "failed")


def break_image(path: Path, content: bytes = b"no picture", mtime: int | None = None) -> None:
    path.write_bytes(content)
    if mtime is not None:
        os.utime(path, (mtime, mtime))


def counts(report: ExtractReport) -> dict[str, int]:
    """The counts of a report that are not 0."""
    return {name: getattr(report, name) for name in COUNTS if getattr(report, name)}


@dataclass(frozen=True, slots=True)
class StoreState:
    """All that is to be known of a store.

    Attributes:
        rows: Key → content, in the order of the store.
        missing: Keys that are marked as missing.
        ledger: Key → time stamp of the file that could not be read.
    """

    rows: Mapping[str, Color] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    ledger: Mapping[str, int] = field(default_factory=dict)

    def same_as(self, other: StoreState | None) -> bool:
        """Whether both say the same, order included."""
        return other is not None and (
            (list(self.rows.items()), self.missing, dict(self.ledger))
            == (list(other.rows.items()), other.missing, dict(other.ledger))
        )


@dataclass(frozen=True, slots=True)
class PartState(StoreState):
    """A part: its copies have the content of a row, here or before.

    Attributes:
        copies: Key → content.
    """

    copies: Mapping[str, Color] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expected:
    """What an extraction must report and leave behind."""

    counts: dict[str, int]
    store: StoreState


@dataclass
class Folder:
    """A folder of images, and what `extract` must make of it.

    Attributes:
        path: The folder.
        images: Key → content of the files as they are.
        times: Key → their time stamps, in seconds.
        store: What the store holds; None if there is none.
        pending: Parts of an extraction that was interrupted, oldest first.
        overwriting: Whether these replace the store instead of adding to it.
    """

    path: Path
    images: dict[str, Color] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    store: StoreState | None = None
    pending: list[PartState] = field(default_factory=list)
    overwriting: bool = False
    clock: int = 10_000

    def write(self, key: str, content: Color) -> None:
        """Write a file, broken or not, with a time stamp that no other has."""
        self.clock += 1
        (self.path / key).parent.mkdir(parents=True, exist_ok=True)
        if content == BROKEN:
            break_image(self.path / key, mtime=self.clock)
        else:
            write_color(self.path / key, content, mtime=self.clock)
        self.images[key], self.times[key] = content, self.clock

    def touch(self, key: str) -> None:
        """Give a file a new time stamp."""
        self.clock += 1
        os.utime(self.path / key, (self.clock, self.clock))
        self.times[key] = self.clock

    def rename(self, old: str, new: str) -> None:
        """Rename or move a file, over another one if need be."""
        if new == old:
            return
        (self.path / new).parent.mkdir(parents=True, exist_ok=True)
        (self.path / old).rename(self.path / new)
        self.images[new], self.times[new] = self.images.pop(old), self.times.pop(old)

    def copy(self, old: str, new: str, *, with_time: bool) -> None:
        """Copy a file, with its time stamp or with a new one."""
        if new == old:
            return
        (self.path / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self.path / old, self.path / new)
        self.images[new], self.times[new] = self.images[old], self.times[old]
        if not with_time:
            self.touch(new)

    def delete(self, key: str) -> None:
        """Delete a file."""
        (self.path / key).unlink()
        del self.images[key], self.times[key]

    @property
    def good(self) -> list[str]:
        """Keys of the images that can be used, in natural order."""
        return sorted(
            (key for key, content in self.images.items() if content != BROKEN), key=natural_key
        )

    def expect(self, *, prune: bool = False, overwrite: bool = False) -> Expected:
        """Say what an extraction must make of the folder as it is."""
        base, parts = self.store, self.pending
        if self.overwriting:
            base = None
        elif overwrite:
            base, parts = None, []
        before = dict(base.rows) if base is not None else {}
        stored, copied, _ = _add_up(base, parts)

        good, known = self.good, set(stored.values())
        vanished = [key for key in stored if key not in self.images]
        new = {key: stored[key] for key in copied if key in self.images and key not in before}
        counted, rows = Counter[str](), dict(stored)
        for key in good:
            content = self.images[key]
            if key in new and new[key] != content:
                del new[key]
            if stored.get(key) == content:
                counted["skipped"] += 1
            elif content in known:
                counted["reused"] += 1
                if key not in before:
                    new[key] = content
            else:
                counted["done"] += 1
                known.add(content)
            rows[key] = content
        broken = [key for key, content in self.images.items() if content == BROKEN]
        for key in broken:
            new.pop(key, None)
            rows.pop(key, None)

        renamed, left = set(), list(vanished)
        for content in new.values():
            same = [key for key in left if stored[key] == content]
            if same:
                left.remove(same[0])
                renamed.add(same[0])
        for key in vanished if prune else renamed:
            del rows[key]
        order = dict.fromkeys([*before, *good, *stored])
        counted |= Counter(
            {
                "rows": len(rows),
                "renamed": len(renamed),
                "removed" if prune else "missing": len(left),
                "failed": len(broken),
            }
        )
        state = StoreState(
            rows={key: rows[key] for key in order if key in rows},
            missing=frozenset() if prune else frozenset(left),
            ledger={key: self.times[key] for key in broken},
        )
        return Expected({name: n for name, n in counted.items() if n}, state)

    def foretell(self, *, prune: bool, overwrite: bool, retry_failed: bool) -> dict[str, int]:
        """Return the counts of a dry run, which cannot know what is broken and not tried yet."""
        ledger: dict[str, int] = {}
        if self.overwriting or not overwrite:
            _, _, ledger = _add_up(None if self.overwriting else self.store, self.pending)
        failed = {
            key
            for key, content in self.images.items()
            if content == BROKEN and not retry_failed and ledger.get(key) == self.times[key]
        }
        hopeful = {
            key: content if content != BROKEN or key in failed else (-2, -2, -2)
            for key, content in self.images.items()
        }
        return replace(self, images=hopeful).expect(prune=prune, overwrite=overwrite).counts

    def finish(self, store: StoreState) -> None:
        """Note that a store was made, and everything before it is in it."""
        self.store, self.pending, self.overwriting = store, [], False

    def shard(self, keys: Iterable[str]) -> Folder:
        """Return the folder with some of its images, and no store."""
        images = {key: self.images[key] for key in keys}
        return Folder(self.path, images, {key: self.times[key] for key in images})


def _add_up(
    base: StoreState | None, parts: Iterable[PartState]
) -> tuple[dict[str, Color], set[str], dict[str, int]]:
    """Return the newest word of each key: contents, which of them are copies, the ledger."""
    stored = dict(base.rows) if base is not None else {}
    ledger = dict(base.ledger) if base is not None else {}
    held, copied = set(stored.values()), set[str]()
    for part in parts:
        stored |= part.rows
        held |= set(part.rows.values())
        copied -= set(part.rows)
        for key, content in part.copies.items():
            if content in held:
                if stored.get(key) != content:  # Else it was only touched.
                    copied.add(key)
                stored[key] = content
            else:
                stored.pop(key, None)
        for key in (*part.rows, *part.copies):
            ledger.pop(key, None)
        for key, stamp in part.ledger.items():
            stored.pop(key, None)
            copied.discard(key)
            ledger[key] = stamp
    return stored, copied, ledger


class Reader:
    """Reads what is on the disk into the model's words, and checks each row on the way.

    Args:
        folder: A folder to draw the pictures in, whose hashes are to be known.
    """

    def __init__(self, folder: Path) -> None:
        self.content = {
            hash_content(write_color(folder / f"{number}.png", color).read_bytes()): color
            for number, color in enumerate(PICTURES)
        }

    def store(self, path: Path) -> StoreState:
        """Read a store; each row's values and label must be those of its content and key."""
        with open_store(path) as store:
            return StoreState(
                self._rows(store),
                frozenset(np.array(store.keys, object)[store.missing].tolist()),
                _ledger(store),
            )

    def part(self, path: Path) -> PartState:
        """Read a part."""
        with open_store(path) as part:
            hashes = map(bytes, part.copies.content_hash)
            copies = {k: self.content[h] for k, h in zip(part.copies.keys, hashes, strict=True)}
            return PartState(self._rows(part), ledger=_ledger(part), copies=copies)

    def _rows(self, store: FeatureStore) -> dict[str, Color]:
        contents = [self.content[content] for content in map(bytes, store.content_hash)]
        assert len(set(store.keys)) == len(store.keys)
        assert list(store.labels) == [label_of(key) for key in store.keys]
        values = store.features("mean")[:]
        for content, row in zip(contents, values, strict=True):
            assert row.tolist() == pytest.approx(mean_of(content))
        return dict(zip(store.keys, contents, strict=True))

    def pending(self, store: Path) -> tuple[list[PartState], bool]:
        """Return the parts that an extraction goes on with; whether they replace the store."""
        folder, first = parts_folder(store), 0
        if store.exists():
            with open_store(store) as opened:
                first = opened.next_part
        overwriting = find_overwrite(folder)
        if overwriting is not None and overwriting >= first:
            return list(map(self.part, list_parts(folder, overwriting))), True
        lost = [] if store.exists() else list_assembled(folder)
        return list(map(self.part, [*lost, *list_parts(folder, first)])), False


def _ledger(store: FeatureStore) -> dict[str, int]:
    return {failure.key: failure.mtime_ns // 10**9 for failure in store.failures}
