"""A CSV table as RFC 4180 has it: ``key,label,f0,...``, one row for each image."""

from __future__ import annotations

import csv
from pathlib import Path

from featx.atomic import replace_file
from featx.exports.source import ExportSource, Written, format_rows

SUFFIX = ".csv"
KEEPS_MAPS = False


def list_files(output: Path) -> tuple[Path, ...]:
    """Return the one file."""
    return (output,)


def write(source: ExportSource, output: Path) -> Written:
    """Write the table; its numbers read back to the same float32."""
    store = source.store
    with (
        replace_file(output) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["key", "label", *(f"f{column}" for column in range(source.width))])
        for start, block in source.iter_blocks():
            for row, texts in enumerate(format_rows(block), start=start):
                writer.writerow([store.keys[row], store.labels[row] or "", *texts])
    return Written(len(store), (output,))
