"""Compare kinds of indexes with plain FAISS: time, memory, and recall that is told and measured.

::

    python -m benchmarks.indexes --rows 1000000 --width 256
    python -m benchmarks.indexes --rows 100000 --order sorted
    python -m benchmarks.indexes --rows 200000 --features photos.h5
    python -m benchmarks.indexes --rows 10000000 --kinds ivf --noise 0.5 --clusters 50000

Vectors are those of clusters, or of a store of real features, with noise. A store of them is
written once into the folder (`--folder`) and used again. With `--order sorted` its rows are in the
order of their clusters, which is the worst for a sample of the first ones and for a graph. Recall
is measured with fresh vectors, none of which is in the store; what the index told when it was
built is beside it. Each index is built and searched in a process of its own, so that its memory is
its own; "from cold" is the whole command `featx search --key`. FAISS is given the vectors in memory
and its own defaults, and so are autofaiss and usearch, which are left out where they are not
installed. Vectors that would take more than a third of the memory are compared as they are read
from the store instead, and only featx builds indexes of them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import featx
from featx.files import HASH_BYTES
from featx.images.roots import Root
from featx.index.kinds import INDEXES, Space
from featx.index.nearest import find_nearest, join_best
from featx.index.projection import normalize_rows
from featx.input_spec import InputSpec
from featx.specs import FeatureSpec, ModelSpec
from featx.store import open_store
from featx.store.rows import Announced, Rows, StoreHeader
from featx.store.writing import write_store

QUERIES, NEIGHBOURS, BLOCK = 1000, 10, 20_000

_CHILD = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""Runs a command and prints its largest memory: a child begins with the memory of its parent."""

OURS = ("flat", "ivf", "ivf-rabitq", "hnsw", "OPQ64,IVF1024,PQ64")
"""Kinds of featx, and a factory string."""

OTHERS = ("autofaiss", "usearch")
"""Libraries that are measured where they are installed."""

EXACT, STREAMED = "faiss flat", "exact, read"
"""What others are compared with: in memory, or block by block."""

LARGEST = 1 / 3
"""Of the memory, for vectors that are held: they are twice for a moment."""

FACTORIES = {"faiss flat": "Flat", "faiss HNSW32": "HNSW32", "faiss IVF": "IVF{lists},Flat"}


@dataclass(frozen=True)
class Data:
    """Vectors around centres.

    Attributes:
        name: For the name of the store.
        centres: float32 (C, D).
        noise: Standard deviation of each value.
        is_sorted: Whether rows are in the order of their centres.
    """

    name: str
    centres: np.ndarray
    noise: float
    is_sorted: bool

    def members(self, count: int, seed: int) -> np.ndarray:
        """Return the centre of each of some vectors."""
        members = np.random.default_rng(seed).integers(0, len(self.centres), count)
        return np.sort(members) if self.is_sorted else members

    def draw(self, members: np.ndarray, seed: int) -> np.ndarray:
        """Return a vector around the centre of each, float32 (n, D)."""
        random = np.random.default_rng(seed)
        noise = random.standard_normal((len(members), self.centres.shape[1]), np.float32)
        return np.asarray(self.centres[members] + np.float32(self.noise) * noise)

    def make_queries(self) -> np.ndarray:
        """Return fresh vectors around the same centres."""
        return self.draw(self.members(QUERIES, 3), 4)


def choose_data(options: argparse.Namespace) -> Data:
    """Return the vectors that the arguments ask for."""
    is_sorted = options.order == "sorted"
    if options.features is not None:
        with open_store(options.features) as opened:
            centres = opened.table().values
        noise = 0.5 * options.noise * float(centres.std())
        return Data(options.features.stem, centres, noise, is_sorted)
    clusters = options.clusters or max(1, options.rows // 200)
    centres = np.random.default_rng(1).standard_normal((clusters, options.width), np.float32)
    return Data(f"clusters_{clusters}_{options.noise:g}", centres, options.noise, is_sorted)


def write_vectors(path: Path, rows: int, data: Data, first: int = 0) -> None:
    """Write a store of vectors, whose keys are numbers from `first` on."""
    model = ModelSpec(
        "file", "net.keras", (), "/net.keras", "0" * 64, InputSpec(8, 8, scaling="unit")
    )
    header = StoreHeader(
        model=model,
        features=(FeatureSpec("v", "layer", "none", (data.centres.shape[1],)),),
        dtype="float32",
        root=Root.parse("/photos"),
        root_relative="photos",
        request={"model": "file:net.keras"},
        runs=({"started": "2026-01-31T09:30:00+00:00", "featx": "bench", "computed": 0},),
    )
    members = data.members(first + rows, 2)[first:]

    def blocks() -> Any:
        for start in range(0, rows, BLOCK):
            chosen = members[start : start + BLOCK]
            numbers = range(first + start, first + start + len(chosen))
            hashes = b"".join(number.to_bytes(HASH_BYTES, "little") for number in numbers)
            yield Rows(
                keys=[f"{number // 1000:05d}/{number:08d}.jpg" for number in numbers],
                content_hash=np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES),
                labels=[None] * len(chosen),
                file_size=np.zeros(len(chosen), np.int64),
                file_mtime_ns=np.zeros(len(chosen), np.int64),
                features={"v": data.draw(chosen, 10 + first + start)},
            )

    write_store(path, header, blocks(), Announced(num_rows=rows, key_bytes=32, classes=set()))


def measure_ours(store: Path, kind: str, queries: np.ndarray) -> dict[str, Any]:
    """Build and search an index of featx."""
    path = store.with_name(f"{store.stem}.{kind}.faiss")
    asked = {"factory": kind} if kind not in INDEXES.names else {"kind": kind}
    start = time.perf_counter()
    built = featx.build_index(store, output=path, **asked)  # type: ignore[arg-type]
    seconds, peak = time.perf_counter() - start, _peak()
    opened = featx.open_index(path)
    result = _time_search(lambda some: opened.find(some, NEIGHBOURS).rows, queries)
    command = [sys.executable, "-m", "featx", "search", "--index", str(path), "-k", "10", "-f"]
    cold, children = _run_alone([*command, "--key", built.description.keys[len(built) // 2]])
    told = {"told": built.description.measured.recall, **dict(built.description.parameters)}
    sizes = {"MB": path.stat().st_size / 1e6, "build MB": peak, "cold MB": children}
    return result | sizes | {"build s": seconds, "cold s": cold, "parameters": told}


def _run_alone(command: list[str]) -> tuple[float, float]:
    """Return the seconds and the megabytes of a command, modules compiled as pip leaves them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(2):  # The first compiles modules.
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, *command], check=True, capture_output=True, env=kept
        )
        seconds = time.perf_counter() - start
    return seconds, int(done.stdout) / 1024


def measure_faiss(store: Path, factory: str, queries: np.ndarray) -> dict[str, Any]:
    """Build and search an index of plain FAISS, of vectors in memory."""
    import faiss

    with open_store(store) as opened:
        values = normalize_rows(opened.table("v").values)
    lists = int(4 * np.sqrt(len(values)))
    start = time.perf_counter()
    index = faiss.index_factory(
        values.shape[1], factory.format(lists=lists), faiss.METRIC_INNER_PRODUCT
    )
    index.train(values)
    index.add(values)
    seconds, peak = time.perf_counter() - start, _peak()
    path = store.with_name("plain.faiss")
    faiss.write_index(index, str(path))
    size = path.stat().st_size / 1e6
    path.unlink()
    result = _time_search(lambda some: index.search(normalize_rows(some), NEIGHBOURS)[1], queries)
    return result | {"MB": size, "build MB": peak, "build s": seconds}


def measure_streamed(store: Path, queries: np.ndarray) -> dict[str, Any]:
    """Compare all vectors with the queries as they are read, block by block."""
    queries = normalize_rows(queries)
    best = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    first = 0
    start = time.perf_counter()
    with open_store(store) as opened:
        for block in opened.iter_vectors("v", None):
            space = Space(len(block), block.shape[1])
            scores, rows = find_nearest(queries, normalize_rows(block), NEIGHBOURS, space)
            best = join_best(best, (scores, rows + first), NEIGHBOURS)
            first += len(block)
    seconds = time.perf_counter() - start
    return {"rows": best[1].tolist(), "batch s": seconds, "build MB": _peak()}


def measure_usearch(store: Path, queries: np.ndarray) -> dict[str, Any]:
    """Build and search an index of usearch at its defaults."""
    from usearch.index import Index

    with open_store(store) as opened:
        values = normalize_rows(opened.table("v").values)
    start = time.perf_counter()
    index = Index(ndim=values.shape[1], metric="ip")
    index.add(np.arange(len(values)), values)
    seconds = time.perf_counter() - start
    result = _time_search(
        lambda some: index.search(normalize_rows(some), NEIGHBOURS).keys.reshape(len(some), -1),
        queries,
    )
    return result | {"build MB": _peak(), "build s": seconds}


def measure_autofaiss(store: Path, queries: np.ndarray) -> dict[str, Any]:
    """Build and search an index of autofaiss at its defaults."""
    from autofaiss import build_index

    with open_store(store) as opened:
        values = normalize_rows(opened.table("v").values)
    start = time.perf_counter()
    index, _ = build_index(values, save_on_disk=False, metric_type="ip", verbose=40)
    seconds = time.perf_counter() - start
    result = _time_search(lambda some: index.search(normalize_rows(some), NEIGHBOURS)[1], queries)
    return result | {"build MB": _peak(), "build s": seconds}


def _time_search(search: Callable[[np.ndarray], np.ndarray], queries: np.ndarray) -> dict[str, Any]:
    search(queries[:2])
    start = time.perf_counter()
    rows = search(queries)
    batch = time.perf_counter() - start
    start = time.perf_counter()
    for query in queries[:20]:
        search(query[None])
    one = (time.perf_counter() - start) / 20
    return {"rows": np.asarray(rows, np.int64).tolist(), "batch s": batch, "query ms": 1e3 * one}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run the comparison, each index in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--clusters", type=int)
    parser.add_argument("--noise", type=float, default=1.0, help="of each value; centres have 1")
    parser.add_argument("--features", type=Path, help="a store of real features")
    parser.add_argument("--order", choices=("random", "sorted"), default="random")
    parser.add_argument("--kinds", nargs="+", default=OURS, help="kinds, and factory strings")
    parser.add_argument("--alone", action="store_true", help="compare with exact FAISS only")
    parser.add_argument("--folder", type=Path, default=Path("."))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = choose_data(options)
    width = data.centres.shape[1]
    store = options.folder / f"{data.name}_{options.order}_{options.rows}_{width}.h5"
    if options.only is not None:
        print(json.dumps(_measure(store, options.only, data.make_queries())))
        return
    if not store.exists():
        write_vectors(store, options.rows, data)
    fits = 4 * options.rows * width <= LARGEST * os.sysconf("SC_PAGE_SIZE") * os.sysconf(
        "SC_PHYS_PAGES"
    )
    names = [EXACT if fits else STREAMED, *options.kinds]
    if fits and not options.alone:
        names += [*list(FACTORIES)[1:], *filter(find_spec, OTHERS)]
    results = {}
    paths = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
    for name in names:
        command = [sys.executable, "-m", "benchmarks.indexes", *sys.argv[1:], "--only", name]
        done = subprocess.run(
            command,
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
        )
        results[name] = json.loads(done.stdout.splitlines()[-1])
    Console(width=150).print(_make_table(results, 4 * options.rows * width / 1e6))


def _measure(store: Path, name: str, queries: np.ndarray) -> dict[str, Any]:
    if name in OTHERS:
        return {"usearch": measure_usearch, "autofaiss": measure_autofaiss}[name](store, queries)
    if name == STREAMED:
        return measure_streamed(store, queries)
    if name in FACTORIES:
        return measure_faiss(store, FACTORIES[name], queries)
    return measure_ours(store, name, queries)


def _make_table(results: dict[str, dict[str, Any]], megabytes: float) -> Table:
    numbers = ("build s", "build MB", "MB", "cold s", "cold MB", "query ms", "batch s")
    table = Table("index", *numbers, "over exact", "of float32", "recall", "told, parameters")
    exact = results[EXACT if EXACT in results else STREAMED]
    for name, result in results.items():
        pairs = zip(result["rows"], exact["rows"], strict=True)
        recall = np.mean([len(set(found) & set(best)) / NEIGHBOURS for found, best in pairs])
        table.add_row(
            name,
            *(f"{result[number]:,.3g}" if number in result else "" for number in numbers),
            f"{exact['batch s'] / result['batch s']:.1f}×",
            f"{result['MB'] / megabytes:.3f}" if "MB" in result else "",
            f"{recall:.4f}",
            ", ".join(f"{key} {value}" for key, value in result.get("parameters", {}).items()),
        )
    return table


if __name__ == "__main__":
    main()
