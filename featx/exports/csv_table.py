"""A CSV table as in RFC 4180: ``key,label,f0,...``, one row for each image.

A column ``split`` follows ``label`` where the store has splits, and then the further columns that
a manifest or a data frame had.
"""

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
    columns = source.columns
    with (
        replace_file(output) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        names = map(source.csv_text, columns)
        writer.writerow([*names, *(f"f{number}" for number in range(source.width))])
        for start, block in source.iter_blocks():
            for row, texts in enumerate(format_rows(block), start=start):
                known = (source.csv_text(column[row]) for column in columns.values())
                writer.writerow([*known, *texts])
    return Written(len(source.store), (output,))
