"""What a store can hold: a million rows, a million files, rows of 50 MB, with flat memory.

    python benchmarks/limits.py FOLDER [rows|files|wide ...]

Writes some 12 GB below FOLDER and removes them again. Prints seconds, rates and the peak of each
process's memory; what was written is compared with what was to be written.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from featx.extraction import extract
from featx.extraction.request import Request
from featx.files import HASH_BYTES
from featx.images.sources import ImageSet, find_images
from featx.models import load_model
from featx.specs import FeatureSpec
from featx.store import open_store
from featx.store.assembly import assemble_store
from featx.store.parts import PartWriter, list_parts, parts_folder
from featx.store.planning import PlannedRows, plan_rows
from featx.store.rows import Announced, Rows, StoreHeader, longest_key
from featx.store.writing import write_store
from featx.testing import toy_model, write_images
from featx.testing.wide import register_wide_model

ROWS, WIDTH = 1_000_000, 1280
FILES, CLASSES = 1_000_000, 1_000
WIDE_IMAGES, WIDE_BYTES = 24, 50_000_000


def main() -> None:
    """Run each measurement in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", nargs="*", choices=[*MEASUREMENTS, []], default=[])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.what or list(MEASUREMENTS):
        if arguments.here:
            MEASUREMENTS[name](arguments.folder)
        else:
            command = [sys.executable, __file__, "--here", str(arguments.folder), name]
            subprocess.run(command, check=True)


def measure_rows(folder: Path) -> None:
    """Write a million rows of 1,280 floats as parts, make a store of them, read it back."""
    for limit, kind in ((4_000_000_000, "view"), (1 << 60, "one file")):
        path = folder / "rows.h5"
        header = _header(WIDTH, limit)
        began = time.perf_counter()
        writer = PartWriter(parts_folder(path), header)
        for start in range(0, ROWS, 250):
            writer.add(_rows(start, min(start + 250, ROWS)))
        writer.commit()
        _say(f"rows, {kind}: parts written", began, ROWS * header.row_bytes)
        began = time.perf_counter()
        parts = [open_store(part) for part in list_parts(parts_folder(path))]
        for part in parts:
            part.load_columns()
            part.close()
        plan = plan_rows(parts)
        assemble_store(path, PlannedRows(parts, plan, header), next_part=len(parts))
        del parts, plan
        _say(f"rows, {kind}: store made", began, ROWS * header.row_bytes)
        began = time.perf_counter()
        with open_store(path) as store:
            start = 0
            for block in store.iter_features():
                expected = _values(start, start + len(block))
                assert (block == expected).all(), f"rows from {start} on are not what was written"
                start += len(block)
            assert start == ROWS
        _say(f"rows, {kind}: read back and compared", began, ROWS * header.row_bytes)
        path.unlink()
        shutil.rmtree(parts_folder(path))


def measure_files(folder: Path) -> None:
    """Synchronise a folder of a million files in which nothing has changed."""
    images = folder / "million"
    if not images.exists():
        for number in range(CLASSES):
            (images / f"class_{number}").mkdir(parents=True)
            for image in range(FILES // CLASSES):
                (images / f"class_{number}" / f"image_{image}.jpg").touch()
    path = folder / "files.h5"
    model = toy_model()
    # The files are no images: their rows are written as if they had been.
    _write_rows_of(find_images(images), path, folder)
    began = time.perf_counter()
    report = extract(images, model=model, layers=["mean"], output=path)
    _say("files: nothing to do", began)
    assert (report.skipped, report.done, report.rows) == (FILES, 0, FILES), report
    path.unlink()


def measure_wide(folder: Path) -> None:
    """Extract layers whose row is 50 MB."""
    images = write_images(WIDE_IMAGES, folder / "images")
    path = folder / "wide.h5"
    began = time.perf_counter()
    report = extract(
        images, model=register_wide_model(WIDE_BYTES // 4), layers=["wide"], output=path
    )
    _say("rows of 50 MB: extracted", began, WIDE_IMAGES * WIDE_BYTES)
    assert report.rows == WIDE_IMAGES
    began = time.perf_counter()
    with open_store(path) as store:
        for block in store.iter_features():
            assert (block == block[:, :1]).all()
    _say("rows of 50 MB: read back", began, WIDE_IMAGES * WIDE_BYTES)
    path.unlink()
    shutil.rmtree(images)


MEASUREMENTS: dict[str, Callable[[Path], None]] = {
    "rows": measure_rows,
    "files": measure_files,
    "wide": measure_wide,
}


def _header(width: int, limit: int) -> StoreHeader:
    return StoreHeader(
        model=load_model(toy_model()).spec,
        features=(FeatureSpec("mean", "layer", "none", (width,)),),
        dtype="float32",
        root="/nowhere",
        root_relative="nowhere",
        single_file_limit=limit,
    )


def _values(start: int, end: int) -> np.ndarray:
    numbers = np.arange(start, end, dtype=np.float32)[:, np.newaxis]
    return numbers + np.arange(WIDTH, dtype=np.float32) / 8192


def _rows(start: int, end: int) -> Rows:
    hashes = np.zeros((end - start, HASH_BYTES), np.uint8)
    hashes[:, :8] = np.arange(start, end, dtype=np.int64)[:, np.newaxis].view(np.uint8)
    return Rows(
        keys=[f"class_{number % 1000}/image_{number}.jpg" for number in range(start, end)],
        content_hash=hashes,
        labels=[f"class_{number % 1000}" for number in range(start, end)],
        file_size=np.ones(end - start, np.int64),
        file_mtime_ns=np.ones(end - start, np.int64),
        features={"mean": _values(start, end)},
    )


def _write_rows_of(found: ImageSet, path: Path, folder: Path) -> None:
    """Write a store that says that every file was extracted."""
    header = replace(
        _header(3, 1 << 60),
        root=found.root,
        root_relative=found.root.relative_to(folder.absolute()),
        request=Request(folder, path, toy_model(), layers=("mean",)).record(),
    )

    def blocks(step: int = 10_000) -> Iterator[Rows]:
        for start in range(0, len(found.items), step):
            items = found.items[start : start + step]
            rows = _rows(start, start + len(items))
            yield replace(
                rows,
                keys=[item.key for item in items],
                labels=[item.label for item in items],
                file_size=np.array([item.size for item in items]),
                file_mtime_ns=np.array([item.mtime_ns for item in items]),
                features={"mean": rows.features["mean"][:, :3]},
            )

    write_store(
        path,
        header,
        blocks(),
        Announced(
            num_rows=len(found.items),
            key_bytes=longest_key(item.key for item in found.items),
            classes=found.classes,
        ),
    )


def _say(what: str, began: float, num_bytes: int = 0) -> None:
    seconds = time.perf_counter() - began
    rate = f"{num_bytes / seconds / 1e6:7.0f} MB/s" if num_bytes else " " * 12
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<40} {seconds:7.1f} s {rate}   peak memory {peak:6.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
