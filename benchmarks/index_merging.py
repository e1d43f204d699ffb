"""What does an index of several machines cost, and does it answer as that of one?

    python -m benchmarks.index_merging FOLDER [--rows 1000000] [--width 256] [--shards 4]

Writes stores of shards, of vectors in clusters, into FOLDER and merges them; trains on the first,
fills an index of each shard, merges these, and fills one from the merged store by the same
training. Each step is a process of its own, one after the other; prints its seconds, its CPU
seconds and its largest memory. Then compares the two indexes: their arrays, and their answers to
fresh queries.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import featx
from benchmarks.indexes import QUERIES, Data, write_vectors

_STEP = """
import json, resource, sys, time
import featx
name, arguments, options = json.loads(sys.argv[1])
began = time.perf_counter()
getattr(featx, name)(*arguments, **options)
used = resource.getrusage(resource.RUSAGE_SELF)
cpu = used.ru_utime + used.ru_stime
print(json.dumps([time.perf_counter() - began, cpu, used.ru_maxrss / 1024]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the stores are, or will be made")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--shards", type=int, default=4)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    centres = np.random.default_rng(1).standard_normal(
        (max(1, options.rows // 200), options.width), np.float32
    )
    data = Data("clusters", centres, 1.0, is_sorted=False)
    shards = write_shards(options.folder, options.rows, options.shards, data)
    table = Table("step", "seconds", "CPU seconds", "MiB")
    for name, figures in run_steps(options.folder, shards, options.rows):
        table.add_row(name, *(f"{figure:,.1f}" for figure in figures))
    Console().print(table)
    compare(options.folder, data.make_queries())


def write_shards(folder: Path, rows: int, count: int, data: Data) -> list[Path]:
    """Write the stores that are not there yet."""
    paths = []
    for number in range(count):
        first, end = rows * number // count, rows * (number + 1) // count
        paths.append(folder / f"{number + 1}-of-{count}-{rows}-{data.centres.shape[1]}.h5")
        if not paths[-1].exists():
            write_vectors(paths[-1], end - first, data, first)
    return paths


def run_steps(
    folder: Path, shards: list[Path], rows: int
) -> list[tuple[str, tuple[float, float, float]]]:
    """Return what each step took."""
    trained, merged = str(folder / "trained.faiss"), str(folder / "all.h5")
    Path(merged).unlink(missing_ok=True)
    filled = {"trained_by": trained}
    asked = {"train_for": rows, "kind": "ivf", "output": trained}
    steps: list[tuple[str, str, list[object], dict[str, object]]] = [
        ("train on the first shard", "train_index", [str(shards[0])], asked),
        *(
            (f"fill {number} of {len(shards)}", "build_index", [str(shard)], filled)
            for number, shard in enumerate(shards, 1)
        ),
        ("merge stores", "merge_stores", [list(map(str, shards)), merged], {}),
        (
            "merge indexes",
            "merge_indexes",
            [[str(shard.with_suffix(".faiss")) for shard in shards], str(folder / "all.faiss")],
            {},
        ),
        (
            "fill from the merged store",
            "build_index",
            [merged],
            {**filled, "output": str(folder / "alone.faiss")},
        ),
    ]
    return [(name, _run(*step)) for name, *step in steps]


def _run(
    name: str, arguments: list[object], options: dict[str, object]
) -> tuple[float, float, float]:
    """Call a function of featx in a process of its own."""
    call = json.dumps([name, arguments, options])
    done = subprocess.run(
        [sys.executable, "-c", _STEP, call], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, cpu, peak


def compare(folder: Path, queries: np.ndarray) -> None:
    """Say how far two indexes are the same."""
    merged, alone = (featx.open_index(folder / name) for name in ("all.faiss", "alone.faiss"))
    for name, array in alone.arrays.items():
        same = np.array_equal(array.unchecked, merged.arrays[name].unchecked)
        if not same:
            print(f"{name} differs")
    found, other = (index.find(queries, 10) for index in (merged, alone))
    share = float((found.rows == other.rows).mean())
    told = merged.description.measured.recall, alone.description.measured.recall
    print(f"{QUERIES:,} queries: {share:.4%} of the matches are the same; told {told}")


if __name__ == "__main__":
    main()
