"""Make the table of measurements and the pictures of the demo that the pages show.

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
from featx.models.builtin import read_card
from featx.report.demo_screen import DemoScreen

PAGE = Path(__file__).with_name("reference") / "builtin-mini.md"
IMAGES = Path(__file__).with_name("images")
SHEET_WIDTH = 800
BEGIN, END = "<!-- measurements:", "<!-- end of measurements -->"


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


def insert_measurements(page: str) -> str:
    """Return the page's text with the table in its place."""
    pattern = re.compile(f"({re.escape(BEGIN)}[^\n]*\n).*?({re.escape(END)})", re.DOTALL)
    return pattern.sub(lambda match: match[1] + make_measurements() + match[2], page)


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
    PAGE.write_text(insert_measurements(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    make_demo_pictures()
