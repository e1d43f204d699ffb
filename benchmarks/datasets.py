"""How fast are features handed to other libraries, beside h5py alone on the same chunks?

    python -m benchmarks.datasets FOLDER [--megabytes 512] [--rounds 5]

Writes stores of vectors (float32 and float16), of maps, and a view into FOLDER. In each round every
kind of data set passes over all rows once, in order or shuffled, in batches of 256 rows that are
dropped; then h5py reads the same rows in order, chunk by chunk, as they are stored, and drops them,
in the same process. Prints rates of bytes as stored and their ratio, by the clock and by the
processor time of all threads, as medians of the rounds. Files are in the system's memory. Kinds
whose library is not installed are left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rich.console import Console
from rich.table import Table

import featx
from featx.datasets.kinds import DATASETS
from featx.errors import FeatxError, LibraryMissing
from featx.files import HASH_BYTES
from featx.images.roots import Root
from featx.input_spec import InputSpec
from featx.specs import FeatureSpec, ModelSpec, StorageType
from featx.store import open_store
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, list_parts, parts_folder
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import Rows, StoreHeader

BATCH = 256
STORES: dict[str, tuple[tuple[int, ...], StorageType, int]] = {
    "vectors": ((1280,), "float32", 1 << 60),
    "vectors, float16": ((1280,), "float16", 1 << 60),
    "maps": ((7, 7, 512), "float32", 1 << 60),
    "vectors in a view": ((1280,), "float32", 1),
}
"""Name → shape of a row, type, bytes from which on it is a view."""


KINDS = ["batches", *sorted(DATASETS.names, key=lambda name: name == "tensorflow")]
"""Once TensorFlow is imported, h5py reads each chunk into fresh memory, which takes three times as
long: it is the last."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the stores are, or will be made")
    parser.add_argument("--megabytes", type=int, default=512, help="of features in each store")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    table = Table("read as", "store", "order", "MB/s", "h5py, MB/s", "ratio", "by CPU time")
    for kind in arguments.kinds:
        for number, (name, layout) in enumerate(STORES.items()):
            path = arguments.folder / f"{number}-{arguments.megabytes}.h5"
            if not path.exists():
                write_store(path, *layout, arguments.megabytes * 1_000_000)
            for shuffle in (False, True) if kind != "torch-rows" else (False,):
                figures = measure(path, kind, shuffle, arguments.rounds)
                if figures is not None:
                    rates, ratios = figures[:2], figures[2:]
                    cells = [f"{rate:,.0f}" for rate in rates] + [f"{r:.2f}" for r in ratios]
                    table.add_row(kind, name, "shuffled" if shuffle else "as stored", *cells)
    Console().print(table)


def measure(path: Path, kind: str, shuffle: bool, rounds: int) -> list[float] | None:
    """Return MB/s of a kind and of h5py, and the ratio of rates by the clock and by CPU time.

    Each is the median of the rounds; None if there is no such library.
    """
    try:
        data = featx.open_dataset(path, columns=(), pool="none")
        iterate = _iterate(data, kind, shuffle)
    except LibraryMissing:
        return None
    except FeatxError:  # pandas has no maps.
        return None
    size = read_raw(path)
    figures = []
    for _ in range(rounds):
        seconds = []
        for run in (iterate, lambda: read_raw(path)):
            began, used = time.perf_counter(), time.process_time()
            run()
            seconds.append((time.perf_counter() - began, time.process_time() - used))
        (ours, our_cpu), (raw, raw_cpu) = seconds
        figures.append((size / ours / 1e6, size / raw / 1e6, raw / ours, raw_cpu / our_cpu))
    return [statistics.median(figure) for figure in zip(*figures, strict=True)]


def _iterate(data: featx.FeatureDataset, kind: str, shuffle: bool) -> Callable[[], int]:
    """Return what passes over all rows once."""
    if kind == "torch-rows":
        rows = data.to(kind)
        return lambda: sum(
            len(rows.__getitems__(range(first, min(first + BATCH, len(rows)))))
            for first in range(0, len(rows), BATCH)
        )
    options: Any = {"batch_size": BATCH, "shuffle": shuffle}
    if kind == "batches":
        return lambda: sum(1 for _ in data.batches(**options))
    data.to(kind, **options)
    return lambda: sum(1 for _ in data.to(kind, **options))


def read_raw(path: Path) -> int:
    """Read the layer with h5py, chunk by chunk; return its bytes."""
    size = 0
    parts = list_parts(parts_folder(path)) or [path]
    for part in parts:
        with h5py.File(part, locking=False) as file:
            layer = file["features/f000"]
            for first in range(0, len(layer), layer.chunks[0]):
                size += layer[first : first + layer.chunks[0]].nbytes
    return size


def write_store(
    path: Path, shape: tuple[int, ...], dtype: StorageType, limit: int, num_bytes: int
) -> None:
    """Write a store of noise, as `featx extract` would: parts, and then the store."""
    model = ModelSpec(
        "file", "net.keras", (), "/net.keras", "0" * 64, InputSpec(8, 8, scaling="unit")
    )
    features = (FeatureSpec("layer", "layer", "none", shape),)
    header = StoreHeader(model, features, dtype, Root.parse("/"), "/", single_file_limit=limit)
    writer = PartWriter(parts_folder(path), header, max_seconds=1e9)
    for rows in _rows(num_bytes // header.row_bytes, shape, dtype):
        writer.add(rows)
    writer.commit()
    parts = [open_store(part) for part in list_parts(parts_folder(path))]
    assemble_store(path, PlannedRows(parts, plan_rows(parts), header), next_part=len(parts))
    if limit > 1:
        for part in list_parts(parts_folder(path)):
            part.unlink()


def _rows(count: int, shape: tuple[int, ...], dtype: StorageType) -> Iterator[Rows]:
    random = np.random.default_rng(0)
    for first in range(0, count, 500):
        size = min(500, count - first)
        hashes = random.integers(0, 256, (size, HASH_BYTES), dtype=np.uint8)
        zeros = np.zeros(size, np.int64)
        keys = [f"{number:08d}.jpg" for number in range(first, first + size)]
        values = random.standard_normal((size, *shape), np.float32).astype(dtype)
        yield Rows(keys, hashes, [None] * size, zeros, zeros, {"layer": values})


if __name__ == "__main__":
    main()
