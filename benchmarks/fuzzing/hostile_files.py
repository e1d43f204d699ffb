"""Cases of prepared stores, heads and indexes, each opened in one of the ways that there are."""

from __future__ import annotations

import functools
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.fuzzing import stored_files
from benchmarks.fuzzing.guard import check_shows_nothing, make_outside, watched
from benchmarks.fuzzing.hostile_heads import HEAD_CHANGES, INDEX_CHANGES
from benchmarks.fuzzing.hostile_stores import MAY_BE_READ, MUST_BE_REFUSED, prepare_store
from benchmarks.fuzzing.supervisor import Case, OtherValues
from benchmarks.fuzzing.surfaces import (
    HEAD_SURFACES,
    INDEX_SURFACES,
    STORE_SURFACES,
    VIEW_SURFACES,
    Surface,
)

Prepare = Callable[[Path, random.Random], None]


@dataclass(frozen=True, slots=True)
class Hostility:
    """A way to prepare a folder of files, and what opens it.

    Attributes:
        kind: The row of the table.
        prepare: Changes the files of a folder.
        surfaces: Opens them; the first reads all that they hold.
        is_refused: Whether the first must refuse them.
    """

    kind: str
    prepare: Prepare
    surfaces: Mapping[str, Surface]
    is_refused: bool


def hostilities() -> list[Hostility]:
    """Return all ways, stores most often."""
    found = []
    for refused, changes in ((True, MUST_BE_REFUSED), (False, MAY_BE_READ)):
        for name, change in changes.items():
            for file, surfaces in (
                (stored_files.STORE, STORE_SURFACES),
                (stored_files.VIEW, VIEW_SURFACES),
            ):

                def prepare(
                    folder: Path,
                    draw: random.Random,
                    change: Callable[..., None] = change,
                    file: str = file,
                ) -> None:
                    prepare_store(folder / file, change, draw)

                # In a view, the layers are virtual datasets, and other things are missing.
                must = refused and file == stored_files.STORE
                found.append(Hostility(f"store: {name}", prepare, surfaces, must))
    for what, changes_, surfaces in (
        ("head", HEAD_CHANGES, HEAD_SURFACES),
        ("index", INDEX_CHANGES, INDEX_SURFACES),
    ):
        for name, (change_, refused) in changes_.items():
            found.append(Hostility(f"{what}: {name}", change_, surfaces, refused))
    return found


def hostile_cases(
    originals: Path, count: int, seed: int, seconds: float, first: int = 0
) -> list[Case]:
    """Prepare stores, heads and indexes by structure; the ways take turns.

    Args:
        originals: What `stored_files.make_originals` made.
        count: How many.
        seed: Decides all of them.
        seconds: The limit for each.
        first: Number of the first.
    """
    ways = hostilities()
    cases = []
    for number in range(first, first + count):
        way = ways[number % len(ways)]
        text = f"{seed}/hostile/{number}"
        surface = random.Random(f"{text}/surface").choice(list(way.surfaces))
        name = f"{way.kind}-{surface}-{number}".replace(" ", "-").replace("/", "-")
        cases.append(
            Case(
                name=name,
                kind=way.kind,
                run=partial(_open, originals, way, surface, text),
                save=partial(_save, originals, way, text),
                seconds=seconds,
            )
        )
    return cases


def _open(originals: Path, way: Hostility, surface: str, text: str) -> None:
    """Prepare a copy, and open it."""
    place = scratch_of(originals)
    folder = place / "case"
    shutil.rmtree(folder, ignore_errors=True)
    _copy(originals, folder)
    way.prepare(folder, random.Random(text))
    with watched(folder):
        value = way.surfaces[surface](folder)
    check_shows_nothing(value, folder)
    if way.is_refused and surface == next(iter(way.surfaces)):
        raise OtherValues("accepted; expected: refused")


def _save(originals: Path, way: Hostility, text: str, folder: Path) -> None:
    _copy(originals, folder / "case")
    make_outside(folder)
    way.prepare(folder / "case", random.Random(text))


def _copy(originals: Path, folder: Path) -> None:
    shutil.copytree(originals, folder, dirs_exist_ok=True)


@functools.cache
def scratch_of(originals: Path) -> Path:
    """Return a folder of this process's own, with what is outside of the hostile files."""
    place = originals.with_name(f"hostile-{os.getpid()}")
    place.mkdir(exist_ok=True)
    make_outside(place)
    return place
