"""Callbacks for the progress of a job, and who receives them when the caller names nobody."""

from __future__ import annotations

import threading
from typing import Literal, TypeAlias

from featx.checks.flags import check_verbose
from featx.host import is_own_process, is_watched

Verbose: TypeAlias = int | Literal["auto"]
"""Whether notes are shown: True or False, or what Keras takes, which means the same here."""


class Listener:
    """Receives notes, progress and failures of a running job; this one ignores them.

    Functions without a listener show progress and notes to a person who looks on, in a notebook or
    a terminal, and to nobody else. Derive from this class and override the methods that you need.

    Example:
        >>> class Notes(Listener):
        ...     def note(self, text: str) -> None:
        ...         print("note:", text)
        >>> Notes().note("240 images")
        note: 240 images
    """

    def note(self, text: str) -> None:
        """Take a message about the job: what was chosen, what was found."""

    def start(self, total: int, what: str) -> None:
        """Start a stage of `total` items, named `what`."""

    def advance(self, count: int) -> None:
        """Take note that `count` more items of the stage are done."""

    def trying(self, what: str) -> None:
        """Take note of what is being tried, for example ``linear, C = 0.01``; the next replaces it.

        So a long fit, which has no number of items, shows that it goes on.
        """

    def failure(self, path: str, reason: str) -> None:
        """Take note that one image failed; the job continues."""

    def finish(self) -> None:
        """End the stage, whether it succeeded or not."""


def choose_listener(
    listener: Listener | None, *, progress: bool | None = None, verbose: Verbose | None = None
) -> Listener:
    """Return who follows a job.

    Args:
        listener: The caller's; it is taken as it is.
        progress: Whether to show a progress bar; when None, where a person looks on and the call
            comes from the main thread: those of a server have nobody to show it to.
        verbose: The same for notes and failures.
    """
    if listener is not None:
        return listener
    told: bool | None = check_verbose("verbose", verbose)
    if progress is None or told is None:
        is_main = threading.current_thread() is threading.main_thread()
        shown = is_main and not is_own_process() and is_watched()
        progress = shown if progress is None else progress
        told = shown if told is None else told
    if not (progress or told):
        return Listener()
    from featx.report.library_listener import make_library_listener  # It needs rich.

    return make_library_listener(progress=progress, verbose=told)
