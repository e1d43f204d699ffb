"""`python -m featx`, and where the program `featx` begins."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the program; an interruption while it is imported is one line, too."""
    try:
        from featx.cli.app import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("featx: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
