"""Callbacks for the progress of a job; the library itself prints nothing."""

from __future__ import annotations


class Listener:
    """Receives notes, progress and failures of a running job; this one ignores them.

    The command line passes one that draws a progress bar. Derive from it and override the methods
    that you need.

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

    def failure(self, path: str, reason: str) -> None:
        """Take note that one image failed; the job continues."""

    def finish(self) -> None:
        """End the stage, whether it succeeded or not."""
