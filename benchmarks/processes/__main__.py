"""featx inside other people's programs: threads, forks, asyncio and servers.

    python -m benchmarks.processes threads|ways|all

``threads`` starts programs whose first act is to extract in 2 to 8 threads, and compares output,
descriptors, environment and everything else of the process before and after. ``ways`` tries each
line of the table of docs/how-to/processes.md. Prints a table; exit status 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.processes.threads import ENGINES, Line, list_runs, stress
from benchmarks.processes.ways import WAYS


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processes", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("part", nargs="?", choices=("threads", "ways", "all"), default="all")
    parser.add_argument("--runs", type=int, default=100, help="programs with threads")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        if options.part != "ways":
            is_good &= run_threads(options.runs, Path(folder), console)
        if options.part != "threads":
            is_good &= run_ways(Path(folder), console)
    return 0 if is_good else 1


def run_threads(count: int, folder: Path, console: Console) -> bool:
    """Run the stress of threads; return whether nothing was wrong."""
    lines: dict[tuple[str, str], Line] = {}
    for number, line in enumerate(stress(list_runs(count), folder), start=1):
        lines[line.engine, line.cache] = line
        print(f"{number} of {count}", file=sys.stderr)
    table = Table("engine", "cache", "runs", "lines printed", "violations", "seconds")
    for line in lines.values():
        found = len(line.violations)
        cells = (line.runs, line.printed, found, round(line.seconds))
        table.add_row(line.engine, line.cache, *map(str, cells))
    console.print(table)
    violations = [text for line in lines.values() for text in line.violations]
    for text in violations:
        console.print(text, markup=False)
    return not violations


def run_ways(folder: Path, console: Console) -> bool:
    """Try each line of the table on each engine; return whether all are as it says."""
    table = Table("way", *ENGINES)
    is_good = True
    for number, name in enumerate(WAYS):
        cells = []
        for engine in ENGINES:
            began = time.monotonic()
            (work := folder / f"{number}-{engine}").mkdir()
            result = subprocess.run(
                [sys.executable, "-m", "benchmarks.processes.ways", name, engine, work],
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = f"{time.monotonic() - began:.0f} s"
            is_good &= result.returncode == 0
            cells.append(seconds if result.returncode == 0 else result.stderr[-300:])
        table.add_row(name, *cells)
    console.print(table)
    return is_good


if __name__ == "__main__":
    sys.exit(main())
