"""What a person sees of a call from Python: in a notebook, on a terminal, or in a log."""

from __future__ import annotations

import contextlib
import html
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from featx.events import Listener
from featx.host import is_notebook
from featx.objects.addresses import reveal
from featx.report.console import ConsoleListener, draw_bar
from featx.report.text import printable
from featx.units import format_rate

LEAST_SECONDS = 0.5
"""A stage that ends sooner has no bar: in a loop, bars would only flicker."""

MOST_FAILURES = 10
"""Failed images that are shown one by one; reports and stores list all of them."""

UPDATE_SECONDS = 0.2
"""Between two states of a bar in a notebook: each is a message to the browser."""

LOG_STEPS = 10
"""Lines that a stage writes where there is neither a notebook nor a terminal."""


def make_library_listener(*, progress: bool, verbose: bool) -> Listener:
    """Return a listener that shows progress and notes in the way that suits the process."""
    if is_notebook():
        return LibraryListener(NotebookListener(), progress=progress, verbose=verbose)
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    screen = ConsoleListener() if is_terminal else LogListener()
    return LibraryListener(screen, progress=progress, verbose=verbose)


class LibraryListener(Listener):
    """Passes on what is worth a look: bars of stages that take longer, a few failures, notes.

    Args:
        screen: Where it is shown.
        progress: Whether there are bars.
        verbose: Whether there are notes and failures.
    """

    def __init__(self, screen: Listener, *, progress: bool, verbose: bool) -> None:
        self._screen = screen
        self._progress = progress
        self._verbose = verbose
        self._stage: tuple[int, str] | None = None
        self._began = 0.0
        self._done = 0
        self._failures = 0
        self._is_shown = False
        self._first_try: float | None = None

    def note(self, text: str) -> None:
        """Show one line."""
        if self._verbose:
            self._screen.note(text)

    def failure(self, path: str, reason: str) -> None:
        """Show one line for each of the first failures."""
        self._failures += 1
        if self._verbose and self._failures <= MOST_FAILURES:
            self._screen.failure(path, reason)
        elif self._verbose and self._failures == MOST_FAILURES + 1:
            self._screen.note("more images fail; the report lists all of them in `failures`")

    def start(self, total: int, what: str) -> None:
        """Begin a stage, of which nothing is shown yet."""
        self.finish()  # What was tried before.
        self._stage = (total, what) if self._progress else None
        self._began, self._done, self._is_shown = time.monotonic(), 0, False

    def advance(self, count: int) -> None:
        """Move the bar, and show it if the stage takes longer than a moment."""
        self._done += count
        if self._is_shown:
            self._screen.advance(count)
        elif self._stage is not None and time.monotonic() - self._began >= LEAST_SECONDS:
            self._is_shown = True
            self._screen.start(*self._stage)
            self._screen.advance(self._done)

    def trying(self, what: str) -> None:
        """Show what is being tried, once that takes longer than a moment; in a stage, its bar."""
        if self._stage is not None:
            return
        now = time.monotonic()
        if self._first_try is None:
            self._first_try = now
        if self._progress and now - self._first_try >= LEAST_SECONDS:
            self._is_shown = True
            self._screen.trying(what)

    def finish(self) -> None:
        """Remove the bar, or what was tried."""
        if self._is_shown:
            self._screen.finish()
        self._is_shown, self._first_try, self._stage = False, None, None


class LogListener(ConsoleListener):
    """Writes plain lines to stderr, some for each stage."""

    def start(self, total: int, what: str) -> None:
        """Begin a stage."""
        self._total, self._what, self._count = total, what, 0

    def advance(self, count: int) -> None:
        """Write a line at each tenth."""
        before, self._count = self._count, self._count + count
        tenths = {done * LOG_STEPS // max(self._total, 1) for done in (before, self._count)}
        if self._total and len(tenths) > 1:
            self._line(f"{self._count:,} of {self._total:,} {self._what}")


class NotebookListener(Listener):
    """Shows a job below the cell: muted lines, and a bar that goes at the end."""

    def __init__(self) -> None:
        self._handle: Any = None

    def note(self, text: str) -> None:
        """Show one quiet line; notebooks are passed on, so paths begin in the working folder."""
        with contextlib.suppress(OSError):  # The working folder was removed.
            text = text.replace(os.getcwd() + os.sep, "")
        _display(_mute(reveal(text)))

    def failure(self, path: str, reason: str) -> None:
        """Show one quiet line for an image that failed."""
        self.note(f"failed: {path}: {reason}")

    def start(self, total: int, what: str) -> None:
        """Show a bar."""
        self._total, self._what, self._count = total, what, 0
        self._began = self._updated = time.monotonic()
        self._handle = _display(self._draw(), display_id=True)

    def advance(self, count: int) -> None:
        """Move the bar, a few times a second."""
        self._count += count
        now = time.monotonic()
        if now - self._updated >= UPDATE_SECONDS:
            self._updated = now
            self._handle.update(self._draw(), raw=True)

    def trying(self, what: str) -> None:
        """Show one line that changes."""
        content = _mute(what)
        if self._handle is None:
            self._handle = _display(content, display_id=True)
        else:
            self._handle.update(content, raw=True)

    def finish(self) -> None:
        """Remove the bar, and what was tried."""
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)
            self._handle = None

    def _draw(self) -> dict[str, str]:
        seconds = time.monotonic() - self._began
        rate = f" {format_rate(self._count / seconds)}/s" if self._count and seconds else ""
        if not self._total:
            return _mute(f"{self._count:,} {self._what}{rate}")
        text = f"{self._count:,} of {self._total:,} {self._what}{rate}"
        share = self._count / self._total
        bar = f'<progress max="1" value="{share:.4f}" style="width: 20em"></progress> '
        return {"text/plain": f"{draw_bar(share)} {text}"} | _only_html(bar + html.escape(text))


def _mute(text: str) -> dict[str, str]:
    line = printable(text)
    return {"text/plain": line} | _only_html(html.escape(line))


def _only_html(content: str) -> dict[str, str]:
    return {"text/html": f'<div style="opacity: .7; font-size: .9em">{content}</div>'}


def _display(content: Mapping[str, str], display_id: bool | None = None) -> Any:
    from IPython.display import display

    return display(content, raw=True, display_id=display_id)  # type: ignore[no-untyped-call,unused-ignore]
