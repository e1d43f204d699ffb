"""`python -m featx`, and where the program `featx` begins and ends."""

from __future__ import annotations

import atexit
import os
import sys


def program() -> None:
    """Be the whole process: `run`, and end without freeing the memory of libraries."""
    status: list[int] = []
    if "coverage" not in sys.modules:  # It has registered before, and would not be called.
        atexit.register(_end_at_once, status)
    try:
        run()
        status.append(0)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            status.append(end.code or 0)
        raise


def run() -> None:
    """Run the program; an interruption while it is imported is one line, too."""
    try:
        from featx.cli.app import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("featx: interrupted\n")
        sys.exit(130)


def _end_at_once(status: list[int]) -> None:
    """End the process; to free what libraries hold takes long.

    Registered before anything else is imported, this is called last: threads are joined then, and
    temporary folders and worker processes are done with.
    """
    if not status:
        return  # A traceback was printed: the interpreter ends, and knows the status.
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return  # The interpreter says so.
    os._exit(status[0] & 0xFF)


if __name__ == "__main__":
    program()
