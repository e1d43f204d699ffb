"""An export format: one JSON object in each line, with key, label and features."""

from __future__ import annotations

import json
from pathlib import Path

from featx.atomic import replace_file
from featx.exports.source import ExportSource, Written

SUFFIX = ".jsonl"
KEEPS_MAPS = True


def list_files(output: Path) -> tuple[Path, ...]:
    """Return the one file."""
    return (output,)


def write(source: ExportSource, output: Path) -> Written:
    """Write the file; its numbers read back to the same float32."""
    columns = source.columns
    # The file gets its name when it is whole: a full disk leaves nothing behind.
    with replace_file(output) as temporary, temporary.open("w", encoding="utf-8") as file:
        for start, block in source.iter_blocks():
            for row, values in enumerate(block, start=start):
                texts = {name: column[row] for name, column in columns.items()}
                line = json.dumps(texts | {"features": values.tolist()}, ensure_ascii=False)
                file.write(f"{line}\n")
    return Written(len(source.store), (output,))
