"""How long does listing many files take, and how much memory?

    python benchmarks/listing.py FOLDER --files 1000000 --layout folders

FOLDER is filled with tiny files if it does not exist, and kept: a later run lists it again (about
4 GiB for a million files where a block has 4 KiB). The first run after a restart shows the disk,
a later one the system's memory of it. What is printed as memory is the most that the process ever
held, before and after listing.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from featx.images.sources import find_images

FILES_PER_FOLDER = 1000

CONTENTS = {
    ".jpg": b"x",
    # One grey pixel: of a PNG, listing reads the beginning, to know the contact sheets.
    ".png": bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
        "3a7e9b550000000a49444154789c636000000002000148afa471000000"
        "0049454e44ae426082"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the files are, or will be made")
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--layout", choices=["flat", "folders"], default="folders")
    parser.add_argument("--suffix", choices=sorted(CONTENTS), default=".jpg")
    arguments = parser.parse_args()
    if not arguments.folder.exists():
        make_files(arguments.folder, arguments.files, arguments.layout, arguments.suffix)

    before = peak_bytes()
    start = time.perf_counter()
    found = find_images(arguments.folder)
    seconds = time.perf_counter() - start
    after = peak_bytes()

    if len(found.items) != arguments.files:
        parser.error(
            f"{str(arguments.folder)!r} holds {len(found.items):,} images, not "
            f"{arguments.files:,}: name a folder that does not exist yet."
        )
    table = Table("layout", "files", "seconds", "files/s", "peak before", "peak after")
    table.add_row(
        arguments.layout,
        f"{arguments.files:,}",
        f"{seconds:.1f}",
        f"{arguments.files / seconds:,.0f}",
        f"{before / 2**20:.0f} MiB",
        f"{after / 2**20:.0f} MiB",
    )
    Console().print(table)


def make_files(folder: Path, num_files: int, layout: str, suffix: str) -> None:
    """Write files numbered without leading zeros: their natural order is not that of the text."""
    content = CONTENTS[suffix]
    for number in range(num_files):
        class_folder = folder
        if layout == "folders":
            class_folder = folder / f"class_{number // FILES_PER_FOLDER}"
        if number % FILES_PER_FOLDER == 0:
            class_folder.mkdir(parents=True, exist_ok=True)
        with open(os.path.join(class_folder, f"image_{number}{suffix}"), "wb", buffering=0) as file:
            file.write(content)


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB.


if __name__ == "__main__":
    main()
