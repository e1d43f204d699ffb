"""Make the tables of measurements and of arrays, and the pictures of the demo, that pages show.

python docs/make_parts.py
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console

from featx.demo import run_demo
from featx.heads.summary import MEANINGS
from featx.models.builtin import read_card
from featx.report.demo_screen import DemoScreen

REFERENCE = Path(__file__).with_name("reference")
PAGE, ARRAYS_PAGE = REFERENCE / "builtin-mini.md", REFERENCE / "head-and-index.md"
IMAGES = Path(__file__).with_name("images")
SHEET_WIDTH = 800


def make_measurements() -> str:
    """Return the table of what was measured of the built-in network and of others."""
    lines = [
        "| features | photographs | nearest neighbour | precision@10 | mAP | linear head |",
        "|---|---|---|---|---|---|",
    ]
    for m in read_card().measurements:
        values = (m.nearest, m.precision_at_10, m.mean_average_precision, m.linear)
        cells = " | ".join(f"{value:.3f}" for value in values)
        lines.append(f"| {m.extractor} | {m.dataset} | {cells} |")
    return "\n".join(lines) + "\n"


def make_arrays() -> str:
    """Return the table of what the arrays of a head mean, as `featx info` says it."""
    lines = ["| array | shape | meaning |", "|---|---|---|"]
    for names, meaning in MEANINGS.items():
        quoted = ", ".join(f"`{name}`" if name != "…" else name for name in names.split(", "))
        lines.append(f"| {quoted} | {meaning.axes} | {meaning.text} |")
    return "\n".join(lines) + "\n"


def insert_measurements(page: str) -> str:
    """Return the page's text with the table in its place."""
    return _insert(page, "measurements", make_measurements())


def insert_arrays(page: str) -> str:
    """Return the page's text with the table in its place."""
    return _insert(page, "arrays", make_arrays())


def _insert(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name}:", f"<!-- end of {name} -->"
    pattern = re.compile(f"({re.escape(begin)}[^\n]*\n).*?({re.escape(end)})", re.DOTALL)
    return pattern.sub(lambda match: match[1] + table + match[2], page)


def make_demo_pictures() -> None:
    """Run the demo in a temporary folder; keep its terminal output and its contact sheet."""
    IMAGES.mkdir(exist_ok=True)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                console = Console(record=True, width=122, highlight=False, file=nowhere)
                run_demo("featx-demo", DemoScreen(console))
                console.save_svg(str(IMAGES / "demo.svg"), title="featx demo")
            with Image.open("featx-demo/matches.png") as sheet:
                size = (SHEET_WIDTH, round(sheet.height * SHEET_WIDTH / sheet.width))
                smaller = sheet.convert("RGB").resize(size, Image.Resampling.LANCZOS)
                smaller.quantize(64).save(IMAGES / "matches.png", optimize=True)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    for path, insert in ((PAGE, insert_measurements), (ARRAYS_PAGE, insert_arrays)):
        path.write_text(insert(path.read_text(encoding="utf-8")), encoding="utf-8")
    make_demo_pictures()
