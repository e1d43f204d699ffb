"""NumPy's own format: the features as one array, their keys in a CSV file beside it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from featx.atomic import remove_file, replace_file, sync_path
from featx.exports.source import ExportSource, Written

SUFFIX = ".npy"
KEEPS_MAPS = True


def list_files(output: Path) -> tuple[Path, ...]:
    """Return the array's file and that of its keys.

    Example:
        >>> [path.name for path in list_files(Path("flowers.npy"))]
        ['flowers.npy', 'flowers.keys.csv']
    """
    stem = output.stem if output.suffix.lower() == SUFFIX else output.name
    return (output, output.with_name(f"{stem}.keys.csv"))


def write(source: ExportSource, output: Path) -> Written:
    """Write float32 (N, D), or (N, h, w, c), and ``row,key,label`` (or more) for each row."""
    files = list_files(output)
    # Both are written before either gets its name, so that a full disk leaves neither. Previous
    # keys are removed first, so that a kill in between does not leave them beside other rows.
    with replace_file(files[1]) as keys, replace_file(files[0]) as array:
        _write_array(source, array)
        _write_keys(source, keys)
        if files[1].exists():
            remove_file(files[1])
            sync_path(files[1].parent)
    return Written(len(source.store), files)


def _write_array(source: ExportSource, path: Path) -> None:
    # Not `open_memmap`: on a full disk, writing to a mapped file ends the process (SIGBUS).
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)),
        "fortran_order": False,
        "shape": (len(source.store), *source.spec.shape),
    }
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, block in source.iter_blocks():
            file.write(np.ascontiguousarray(block).data)


def _write_keys(source: ExportSource, path: Path) -> None:
    columns = source.columns
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)  # Its defaults are RFC 4180.
        writer.writerow(["row", *map(source.csv_text, columns)])
        for row, values in enumerate(zip(*columns.values(), strict=True)):
            writer.writerow([row, *map(source.csv_text, values)])
