"""A program whose first act is to extract in several threads, and that looks at itself afterwards.

    python -m benchmarks.processes.guest ENGINE THREADS FOLDER

While they extract, another thread goes on printing. What has changed of the process is written to
``FOLDER/changes.json``, with the number of printed lines.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any

import featx

NETWORKS = ("builtin:mini", "network.keras")
"""Every other thread takes the second one."""

EVERY_SECONDS = 0.01
"""How often a line is printed."""

_FILTERS = tuple(warnings.filters)
"""Libraries add filters of their own when they are imported; those of the program stay."""

_KEPT = ("$KMP_DUPLICATE_LIB_OK", "$KMP_INIT_AT_FORK")
"""What scikit-learn sets when it is imported, for the OpenMP of libraries that are loaded later."""

_HOOKS = ("excepthook", "displayhook", "unraisablehook")


def main() -> None:
    engine, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    before = describe_process()
    done = threading.Event()
    printed: list[int] = []
    printer = threading.Thread(target=print_lines, args=(done, printed))
    printer.start()
    errors: list[str] = []
    barrier = threading.Barrier(count)

    def extract(number: int) -> None:
        try:
            barrier.wait()
            model = NETWORKS[number % len(NETWORKS)]
            featx.extract(
                folder / "images",
                model=model if ":" in model else str(folder / model),
                engine=engine,
                precision="float32",
                output=folder / f"{number}.h5",
            )
        except BaseException:
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=extract, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    printer.join()
    after = describe_process()
    changed = {
        name: [repr(each.get(name))[:200] for each in (before, after)]
        for name in before | after
        if before.get(name) != after.get(name) and name not in _KEPT
    }
    facts = {"changed": changed, "errors": errors, "printed": printed[0]}
    (folder / "changes.json").write_text(json.dumps(facts), encoding="utf-8")


def print_lines(done: threading.Event, printed: list[int]) -> None:
    """Print numbered lines with Python, and directly to the descriptors, until all is done."""
    number = 0
    while not done.wait(EVERY_SECONDS):
        for stream in (sys.stdout, sys.stderr):
            stream.write(f"Python {number}\n")
            stream.flush()
        for descriptor in (1, 2):
            os.write(descriptor, f"descriptor {number}\n".encode())
        number += 1
    printed.append(number)


def describe_process() -> dict[str, Any]:
    """Return what belongs to the program and to nobody else, by name."""
    loggers = logging.root.manager.loggerDict
    named = {name: loggers.get(name) for name in ("tensorflow", "absl", "keras", "PIL")}
    variables = {f"${name}": value for name, value in os.environ.items()}
    return variables | {
        "descriptors": [os.fstat(number)[:3] for number in range(3)],
        "streams": [id(sys.stdin), id(sys.stdout), id(sys.stderr)],
        "warnings": [each for each in warnings.filters if each in _FILTERS],
        "logging": [logging.root.level, logging.root.handlers[:], logging.root.filters[:]],
        "loggers": {
            name: (getattr(logger, "level", 0), getattr(logger, "filters", []))
            for name, logger in named.items()
        },
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "folder": os.getcwd(),
        "search path": sys.path[:],
        "recursion": sys.getrecursionlimit(),
        "hooks": [getattr(sys, name) for name in _HOOKS],
    }


if __name__ == "__main__":
    main()
