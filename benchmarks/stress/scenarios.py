"""The operations under stress: what is there before, the command, and running it again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

import featx.store.assembly
import featx.store.views
import featx.store.writing
from benchmarks.stress.pictures import LAYERS, break_picture, write_picture
from benchmarks.stress.state import read_rows
from featx.errors import StoreError
from featx.extraction import extract
from featx.index.building import build_index
from featx.index.searching import search
from featx.store import merge_stores, open_store, pack_store, verify_store
from featx.store.parts import PartWriter
from featx.store.views import referenced_parts
from featx.testing import toy_model

ROW_BYTES = 4 * (3 + 12)
"""A row of the two layers."""

Step = Callable[[Path, "Scenario"], None]


@dataclass(frozen=True)
class Scenario:
    """An operation under stress. All its paths are in one folder, the box.

    Attributes:
        name: For the table.
        prepare: Makes what is there before.
        command: The operation; running it again must finish it.
        view: Whether the stores are views of their parts.
        size: Pictures; more make the operation longer.
        damaged: Whether there are damaged rows before.
    """

    name: str
    prepare: Step
    command: Step
    view: bool = False
    size: int = 6
    damaged: bool = False

    @property
    def limit(self) -> int | None:
        """The limit that makes stores views, or not."""
        return 0 if self.view else None


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """Make parts, chunks and blocks of two or three rows, so that there are many of them."""
    defaults = PartWriter.__init__.__kwdefaults__
    assert defaults is not None
    settings: list[tuple[Any, str, int]] = [
        (featx.store.writing, "CHUNK_BYTES", 2 * 48),
        (featx.store.assembly, "BLOCK_BYTES", 2 * ROW_BYTES),
        (featx.store.views, "BLOCK_BYTES", 2 * ROW_BYTES),
        (featx.store.views, "ASSEMBLED_BYTES", 3 * ROW_BYTES),
    ]
    saved = [getattr(module, name) for module, name, _ in settings]
    part_bytes, defaults["max_bytes"] = defaults["max_bytes"], 2 * ROW_BYTES
    for module, name, value in settings:
        setattr(module, name, value)
    toy_model()
    try:
        yield
    finally:
        defaults["max_bytes"] = part_bytes
        for (module, name, _), value in zip(settings, saved, strict=True):
            setattr(module, name, value)


def run_extract(box: Path, scenario: Scenario, output: str = "features.h5", **options: Any) -> None:
    """Extract the pictures of a box."""
    arguments: dict[str, Any] = {"layers": LAYERS, "batch_size": 2, "workers": 1} | options
    arguments.setdefault("single_file_limit", scenario.limit)
    extract(box / "photos", model="toy:colors", output=box / output, **arguments)


def _name(number: int) -> str:
    return f"{'cat' if number % 3 else 'dog'}/{number}.png"


def fill(box: Path, scenario: Scenario) -> None:
    """Write pictures: in two classes, one of them twice, one broken."""
    photos = box / "photos"
    for number in range(scenario.size):
        write_picture(photos / _name(number), number)
    write_picture(photos / "dog/twin.png", 1)
    break_picture(photos / "cat/broken.png")


def fill_and_extract(box: Path, scenario: Scenario) -> None:
    """Have a finished store."""
    fill(box, scenario)
    run_extract(box, scenario)


def _add(box: Path, scenario: Scenario) -> None:
    fill_and_extract(box, scenario)
    for number in range(scenario.size, scenario.size * 3 // 2):
        write_picture(box / "photos" / _name(number), number)
    break_picture(box / "photos/dog/new-broken.png")


def _change(box: Path, scenario: Scenario) -> None:
    fill_and_extract(box, scenario)
    photos = box / "photos"
    for number in range(0, scenario.size, 2):
        write_picture(photos / _name(number), number, 1, mtime=9000)
    os.utime(photos / _name(1), (9999, 9999))
    break_picture(photos / _name(3), mtime=9000)
    write_picture(photos / "cat/broken.png", 200, mtime=9000)


def _rename(box: Path, scenario: Scenario) -> None:
    fill_and_extract(box, scenario)
    photos = box / "photos"
    for number in range(0, scenario.size, 2):
        os.replace(photos / _name(number), photos / f"cat/new-{number}.png")
    shutil.copy2(photos / _name(1), photos / "cat/copy.png")
    write_picture(photos / "dog/other.png", 100)


def _delete(box: Path, scenario: Scenario) -> None:
    _add(box, scenario)
    for number in range(0, scenario.size, 3):
        (box / "photos" / _name(number)).unlink()


def _two_stores(box: Path, scenario: Scenario) -> None:
    fill(box, scenario)
    for part in (1, 2):
        run_extract(box, scenario, f"s{part}.h5", shard=(part, 2))


def _damage_file(box: Path, scenario: Scenario) -> None:
    fill_and_extract(box, scenario)
    path = box / "features.h5"
    with open_store(path) as store:
        target = referenced_parts(store)[1] if scenario.view else path
    with h5py.File(target, "r") as file:
        offset = file["features/f000"].id.get_chunk_info(0).byte_offset
    # HDF5 counts from behind the seal.
    _flip(target, offset if offset >= 512 else offset + 512)


def _damage_view(box: Path, scenario: Scenario) -> None:
    fill_and_extract(box, scenario)
    _flip(box / "features.h5", 2000)


def _flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def _index_added(box: Path, scenario: Scenario) -> None:
    _add(box, scenario)
    build_index(box / "features.h5")
    run_extract(box, scenario)


def _merge(box: Path, scenario: Scenario) -> None:
    sources = [box / "s1.h5", box / "s2.h5"]
    target = box / "merged.h5"
    try:
        merge_stores(sources, target, keep="first")
    except StoreError as error:
        # Finished before: `merge` leaves a finished store alone and says so.
        if not target.exists() or "left alone" not in str(error):
            raise
        assert len(read_rows(target)) > 1, "merged.h5 has no rows"


def _merge_into(box: Path, scenario: Scenario) -> None:
    merge_stores([box / "s1.h5", box / "s2.h5"], box / "s1.h5", keep="first")


def _repair(box: Path, scenario: Scenario) -> None:
    verify_store(box / "features.h5", repair=True)


def _search(box: Path, scenario: Scenario) -> None:
    report = search(keys=[_name(1)], features=box / "features.h5", k=3)
    assert len(report.results[0].matches) == 3, "the search found too little"


def all_scenarios(size: int = 6) -> list[Scenario]:
    """Return every operation, on single files and on views."""
    made = []
    for view in (False, True):
        kind = "view" if view else "file"

        def add(name: str, prepare: Step, command: Step, damaged: bool = False) -> None:
            made.append(Scenario(f"{name}, {kind}", prepare, command, view, size, damaged))  # noqa: B023

        add("extract first", fill, run_extract)
        add("extract added", _add, run_extract)
        add("extract changed", _change, run_extract)
        add("extract renamed", _rename, run_extract)
        add("extract --prune", _delete, lambda box, s: run_extract(box, s, prune=True))
        add("extract --overwrite", _change, lambda box, s: run_extract(box, s, overwrite=True))
        add("merge", _two_stores, _merge)
        add("merge into one", _two_stores, _merge_into)
        add("verify --repair", _damage_file, _repair, damaged=True)
        add("index", fill_and_extract, lambda box, s: _build(box))
        add("search", _index_added, _search)
    grow = Scenario("extract, file to view", _add, _run_as_view, False, size)
    pack = Scenario("pack", _add_packable, lambda box, s: _pack(box), True, size)
    lost = Scenario("verify --repair, no view", _damage_view, _repair, True, size, True)
    return [*made, grow, pack, lost]


def _run_as_view(box: Path, scenario: Scenario) -> None:
    run_extract(box, scenario, single_file_limit=0)


def _add_packable(box: Path, scenario: Scenario) -> None:
    _add(box, scenario)
    run_extract(box, scenario)


def _build(box: Path) -> None:
    build_index(box / "features.h5")


def _pack(box: Path) -> None:
    pack_store(box / "features.h5")
