"""Notes, failures and progress on stderr."""

from __future__ import annotations

import sys
from typing import Any

from featx.events import Listener
from featx.report.text import printable
from featx.units import format_rate


class ConsoleListener(Listener):
    """Shows a job on stderr: a progress bar on a terminal, plain lines otherwise."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._task: Any = None

    def note(self, text: str) -> None:
        """Write one line."""
        self._line(printable(text))

    def failure(self, path: str, reason: str) -> None:
        """Write one line for an image that failed."""
        self._line(f"failed: {printable(path)}: {printable(reason)}")

    def start(self, total: int, what: str) -> None:
        """Start a bar with rate and time left, if stderr is a terminal."""
        if not total or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(what),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total, rate="")
        self._progress.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.advance(self._task, count)
            speed = self._progress.tasks[0].finished_speed or self._progress.tasks[0].speed
            self._progress.update(self._task, rate=f"{format_rate(speed)}/s" if speed else "")

    def finish(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _line(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(text, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
