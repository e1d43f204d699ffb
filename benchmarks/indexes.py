"""Compare kinds of indexes with plain FAISS: time, memory, and recall that is told and measured.

::

    python -m benchmarks.indexes --rows 1000000 --width 256

A store of clustered vectors is written once into the folder (`--folder`) and used again. Its rows
are in the order of their clusters, which is the worst for a sample of the first ones. Each index is
built and searched in a process of its own, so that its memory is its own; "from cold" is the whole
command `featx search --key`. FAISS is given the vectors in memory and its own defaults; usearch is
left out where it is not installed.
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import featx
from featx.images.reading import HASH_BYTES
from featx.images.roots import Root
from featx.index.projection import normalize_rows
from featx.specs import FeatureSpec, InputSpec, ModelSpec
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

OURS = ("flat", "ivf", "ivf-rabitq")

FACTORIES = {"faiss flat": "Flat", "faiss HNSW32": "HNSW32", "faiss IVF": "IVF{lists},Flat"}


def make_queries(width: int, clusters: int) -> np.ndarray:
    """Return fresh vectors of the same clusters, none of which is in the store."""
    return _draw(
        np.sort(np.random.default_rng(3).integers(0, clusters, QUERIES)), width, clusters, 4
    )


def _draw(members: np.ndarray, width: int, clusters: int, seed: int) -> np.ndarray:
    centres = np.random.default_rng(1).standard_normal((clusters, width), np.float32)
    noise = np.random.default_rng(seed).standard_normal((len(members), width), np.float32)
    return np.asarray(centres[members] + noise)


def write_clusters(path: Path, rows: int, width: int, clusters: int) -> None:
    """Write a store of clustered vectors, in the order of their clusters."""
    model = ModelSpec(
        "file", "net.keras", (), "/net.keras", "0" * 64, InputSpec(8, 8, scaling="unit")
    )
    header = StoreHeader(
        model=model,
        features=(FeatureSpec("v", "layer", "none", (width,)),),
        dtype="float32",
        root=Root.parse("/photos"),
        root_relative="photos",
        request={"model": "file:net.keras"},
        runs=({"started": "2026-01-31T09:30:00+00:00", "featx": "bench", "computed": 0},),
    )
    members = np.sort(np.random.default_rng(2).integers(0, clusters, rows))

    def blocks() -> Any:
        for start in range(0, rows, BLOCK):
            chosen = members[start : start + BLOCK]
            numbers = range(start, start + len(chosen))
            hashes = b"".join(number.to_bytes(HASH_BYTES, "little") for number in numbers)
            yield Rows(
                keys=[f"{number // 1000:05d}/{number:08d}.jpg" for number in numbers],
                content_hash=np.frombuffer(hashes, np.uint8).reshape(-1, HASH_BYTES),
                labels=[None] * len(chosen),
                file_size=np.zeros(len(chosen), np.int64),
                file_mtime_ns=np.zeros(len(chosen), np.int64),
                features={"v": _draw(chosen, width, clusters, 10 + start)},
            )

    write_store(path, header, blocks(), Announced(num_rows=rows, key_bytes=32, classes=set()))


def measure_ours(store: Path, kind: str, queries: np.ndarray) -> dict[str, Any]:
    """Build and search an index of featx."""
    path = store.with_name(f"{store.stem}.{kind}.faiss")
    start = time.perf_counter()
    built = featx.build_index(store, kind=kind, output=path)
    seconds, peak = time.perf_counter() - start, _peak()
    opened = featx.open_index(path)
    result = _time_search(lambda some: opened.find(some, NEIGHBOURS).rows, queries)
    command = [sys.executable, "-m", "featx", "search", "--index", str(path), "-k", "10", "-f"]
    start = time.perf_counter()
    key = built.description.keys[len(built) // 2]
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, *command, "--key", key], check=True, capture_output=True
    )
    cold = time.perf_counter() - start
    children = int(done.stdout) / 1024
    told = {"told": built.description.measured.recall, **dict(built.description.parameters)}
    sizes = {"MB": path.stat().st_size / 1e6, "build MB": peak, "cold MB": children}
    return result | sizes | {"build s": seconds, "cold s": cold, "parameters": told}


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
    parser.add_argument("--folder", type=Path, default=Path("."))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    clusters = options.clusters or max(1, options.rows // 200)
    store = options.folder / f"clusters_{options.rows}_{options.width}.h5"
    queries = make_queries(options.width, clusters)
    if options.only is not None:
        print(json.dumps(_measure(store, options.only, queries)))
        return
    if not store.exists():
        write_clusters(store, options.rows, options.width, clusters)
    names = ["faiss flat", *OURS, *list(FACTORIES)[1:]]
    names += ["usearch"] if find_spec("usearch") else []
    results = {}
    for name in names:
        command = [sys.executable, "-m", "benchmarks.indexes", *sys.argv[1:], "--only", name]
        done = subprocess.run(
            [*command, "--clusters", str(clusters)],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        results[name] = json.loads(done.stdout.splitlines()[-1])
    Console(width=150).print(_make_table(results, 4 * options.rows * options.width / 1e6))


def _measure(store: Path, name: str, queries: np.ndarray) -> dict[str, Any]:
    if name in OURS:
        return measure_ours(store, name, queries)
    if name == "usearch":
        return measure_usearch(store, queries)
    return measure_faiss(store, FACTORIES[name], queries)


def _make_table(results: dict[str, dict[str, Any]], megabytes: float) -> Table:
    numbers = ("build s", "build MB", "MB", "cold s", "cold MB", "query ms", "batch s")
    table = Table("index", *numbers, "over exact", "of float32", "recall", "told, parameters")
    exact = results["faiss flat"]
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
