"""Damage files in every way, and see that featx reads them or says what is wrong.

    python -m benchmarks.fuzz images|files|structures|models|all [--count N | --minutes M]
        [--seed S] [--keep FOLDER]

Run it from the root of the repository. Pictures of every format go through `decode_image`, and
some of them, among good ones, through `featx.extract` as whole folders; damaged stores, heads
and indexes are read through the public functions. `structures` are valid files that somebody
prepared: stores, heads and indexes with other objects, links, types, sizes, names and numbers in
them, opened by everything that opens such files. `models` are graphs, SavedModels, files of Keras
and ONNX that would run, read or write something: each must be refused, by name.
Each case runs in a forked child with a limit of time and memory. An offence is a crash, a hang, too
much memory, any exception but the stated one, damage that is read as other values without a word,
and of prepared files: that they are taken though they must be refused, that they show another file,
write one, start a program or a request. Exit status 1 if there was any.

A seed gives the same pictures each time. Stores, heads and indexes hold paths and times of the
run that made them, and are damaged in the same places: `--keep` is how to look at one again.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# Imported once, before the children are forked.
import h5py  # noqa: F401
from rich.console import Console
from rich.table import Table

from benchmarks.fuzzing import hostile_files, hostile_models, model_files, pictures, stored_files
from benchmarks.fuzzing.supervisor import OFFENCES, OUTCOMES, Case, Result, run_cases
from featx.errors import FeatxError, ImageError
from featx.testing import toy_model

IMAGES, FILES, STRUCTURES = 5000, 2000, 2000
"""The numbers of cases that featx is promised to stand."""

ROUND = 400
"""Cases between two looks at the clock."""

IMAGES_PER_FOLDER = 250
"""One whole folder is extracted for so many single pictures."""

SHOWN = 40
"""Most offences that are printed one by one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("images", "files", "structures", "models", "all"))
    parser.add_argument(
        "--count", type=int, help=f"cases of each ({IMAGES:,} images, {FILES:,} others)"
    )
    parser.add_argument("--minutes", type=float, help="time for prepared files, instead of a count")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--seconds-each", type=float, default=20, help="limit of time for a case")
    parser.add_argument("--memory", type=int, default=1536, help="limit for a case, in MiB")
    parser.add_argument("--keep", type=Path, help="folder for the files that offended")
    parser.add_argument("--skip", nargs="*", default=[], help="kinds that are left out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args()
    start = time.monotonic()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="featx-fuzz-") as folder:
        scratch = Path(folder)
        limits = {"memory": options.memory << 20, "workers": options.workers}
        if options.what in ("images", "all"):
            single, folders = image_cases(
                options.count or IMAGES, options.seed, options.seconds_each, scratch
            )
            single = [case for case in single if case.kind not in options.skip]
            results += run_cases(single, stated=ImageError, **limits)
            # A folder must be extracted whatever is in it: no error is a stated one.
            results += run_cases(folders, stated=_Nothing, **limits)
        if options.what in ("files", "all"):
            cases = file_cases(options.count or FILES, options.seed, options.seconds_each, scratch)
            cases = [case for case in cases if case.kind not in options.skip]
            results += run_cases(cases, stated=FeatxError, **limits)
        for what, make, prepare in (
            ("structures", stored_files.make_originals, hostile_files.hostile_cases),
            ("models", model_files.make_originals, hostile_models.model_cases),
        ):
            if options.what not in (what, "all"):
                continue
            for cases in prepared_cases(options, scratch / what, make, prepare):
                cases = [case for case in cases if case.kind not in options.skip]
                made = list(run_cases(cases, stated=FeatxError, **limits))
                results += made
                print_offences([result for result in made if result.outcome in OFFENCES])
                print(f"{len(results):,} cases", flush=True)
        offences = [result for result in results if result.outcome in OFFENCES]
        print_offences(offences)
        Console(width=150).print(make_table(results))
        print(f"seed {options.seed}, {len(results):,} cases in {time.monotonic() - start:.0f} s")
        if options.keep is not None:
            keep(offences, options.keep)
    sys.exit(1 if offences else 0)


def image_cases(
    count: int, seed: int, seconds: float, scratch: Path
) -> tuple[list[Case], list[Case]]:
    """Return damaged pictures one by one, and whole folders with such among them."""
    toy_model()
    originals = pictures.make_originals()
    folders = max(1, count // IMAGES_PER_FOLDER)
    return (
        pictures.picture_cases(originals, count, seed, seconds),
        pictures.folder_cases(originals, folders, seed, seconds, scratch),
    )


def file_cases(count: int, seed: int, seconds: float, scratch: Path) -> list[Case]:
    """Return damaged stores, heads and indexes."""
    originals = scratch / "originals"
    stored_files.make_originals(originals)
    return stored_files.file_cases(originals, count, seed, seconds)


def prepared_cases(
    options: argparse.Namespace,
    originals: Path,
    make: Callable[[Path], None],
    prepare: Callable[[Path, int, int, float, int], list[Case]],
) -> Iterator[list[Case]]:
    """Yield prepared files, round by round, until there were enough or the time is over."""
    end = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    count = options.count or STRUCTURES
    # In a process of its own: forks of one in which numerical libraries had threads wait for them.
    making = multiprocessing.get_context("spawn").Process(target=make, args=(originals,))
    making.start()
    making.join()
    toy_model()
    for first in itertools.count(0, ROUND):
        if (end is None and first >= count) or (end is not None and time.monotonic() > end):
            return
        size = ROUND if end is not None else min(ROUND, count - first)
        yield prepare(originals, size, options.seed, options.seconds_each, first)


def make_table(results: Iterable[Result]) -> Table:
    """Count the outcomes of each kind of case."""
    table = Table("kind", "cases", *OUTCOMES, "slowest s", "largest MiB")
    for column in table.columns[1:]:
        column.justify = "right"
    rows: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        rows[result.case.kind].append(result)
    every = [result for row in rows.values() for result in row]
    for kind, row in [*sorted(rows.items()), ("all", every)]:
        counts = [sum(result.outcome == outcome for result in row) for outcome in OUTCOMES]
        slowest = max((result.seconds for result in row), default=0)
        largest = max((result.peak for result in row), default=0) >> 20
        numbers = [len(row), *counts]
        table.add_row(
            kind, *(f"{n:,}" if n else "" for n in numbers), f"{slowest:.1f}", f"{largest:,}"
        )
    return table


def print_offences(offences: list[Result]) -> None:
    """Print offences, those with the same words once."""
    groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in offences:
        last_line = result.detail.strip().rsplit("\n", 1)[-1]
        groups[result.case.kind, result.outcome, re.sub(r"\d+", "#", last_line)].append(result)
    for (kind, outcome, _), group in list(groups.items())[:SHOWN]:
        first = group[0]
        print(
            f"{kind}: {outcome}, {len(group)} times, first {first.case.name}: {first.detail[:1500]}"
        )
        if first.printed:
            print(f"  printed: {first.printed[:300]}")


def keep(offences: list[Result], folder: Path) -> None:
    """Write the files that offended, each into a folder of its own."""
    for result in offences:
        place = folder / result.case.name
        place.mkdir(parents=True, exist_ok=True)
        result.case.save(place)


class _Nothing(Exception):
    """Is never raised."""


if __name__ == "__main__":
    main()
