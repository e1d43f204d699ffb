"""Run a command in a process of its own, and say how long it took and how much memory.

    python -m benchmarks.heads.measured RESULT.json COMMAND ...

A process begins with the peak of memory of the one that started it. So whoever holds much memory
lets this small one start the command.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    result, *command = sys.argv[1:]
    started = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    Path(result).write_text(json.dumps({"seconds": seconds, "memory": usage.ru_maxrss * 1024}))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
