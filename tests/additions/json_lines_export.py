"""An export format: one JSON object in each line."""

from __future__ import annotations

import json
from pathlib import Path

from featx.atomic import replace_file
from featx.exports.source import ExportSource, Written

SUFFIX = ".jsonl"
KEEPS_MAPS = True


def list_files(output: Path) -> tuple[Path, ...]:
    return (output,)


def write(source: ExportSource, output: Path) -> Written:
    with replace_file(output) as temporary, temporary.open("w", encoding="utf-8") as file:
        for start, block in source.iter_blocks():
            for row, values in enumerate(block, start=start):
                texts = {name: column[row] for name, column in source.columns.items()}
                file.write(json.dumps(texts | {"features": values.tolist()}) + "\n")
    return Written(len(source.store), (output,))
