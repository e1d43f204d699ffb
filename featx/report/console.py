"""Notes, failures and progress on stderr."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from featx.events import Listener
from featx.objects.addresses import reveal
from featx.report.text import printable, wrap_line
from featx.units import format_rate

BAR_WIDTH = 40


class ConsoleListener(Listener):
    """Shows a job on stderr: a progress bar on a terminal, plain lines otherwise."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._task: Any = None
        self._status: Any = None

    def note(self, text: str) -> None:
        """Write one line; on a terminal that is too narrow, several."""
        for line in wrap_line(printable(reveal(text)), _terminal_width()):
            self._line(line)

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

        console = Console(stderr=True, highlight=False)
        # The bar of rich has one character for what is done and what is not, in two colours.
        has_colors = console.color_system is not None and not console.no_color
        self._progress = Progress(
            BarColumn() if has_colors else TextColumn("{task.fields[bar]}"),
            MofNCompleteColumn(),
            TextColumn(what),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total, rate="", bar=draw_bar(0))
        self._progress.start()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._progress is not None:
            self._progress.advance(self._task, count)
            task = self._progress.tasks[0]
            speed = task.finished_speed or task.speed
            rate = f"{format_rate(speed)}/s" if speed else ""
            self._progress.update(self._task, rate=rate, bar=draw_bar(task.percentage / 100))

    def trying(self, what: str) -> None:
        """Show one line that changes, if stderr is a terminal."""
        if self._progress is not None or not sys.stderr.isatty():
            return
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True, highlight=False).status("")
            self._status.start()
        self._status.update(printable(what))

    def finish(self) -> None:
        """Remove the bar, and what is being tried."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _line(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(text, markup=False, soft_wrap=True)
        elif self._status is not None:
            self._status.console.print(text, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def draw_bar(share: float) -> str:
    """Return a bar that needs no colour.

    Example:
        >>> draw_bar(0.25)
        '|##########                              |'
    """
    return f"|{'#' * round(BAR_WIDTH * share):<{BAR_WIDTH}}|"


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stderr.isatty() else None
