"""How the library tells a caller what it is doing, without printing."""

from __future__ import annotations


class Listener:
    """Receives notes, progress and failures of a running job; this one ignores them.

    The command line passes one that draws a progress bar. Derive from it and override
    what you want to hear.

    Example:
        >>> class Notes(Listener):
        ...     def note(self, text: str) -> None:
        ...         print("note:", text)
        >>> Notes().note("240 images")
        note: 240 images
    """

    def note(self, text: str) -> None:
        """Say something once: what was chosen, what was found."""

    def start(self, total: int, what: str) -> None:
        """Begin a counted stage of `total` items."""

    def advance(self, count: int) -> None:
        """`count` more items of the stage are done."""

    def failure(self, path: str, reason: str) -> None:
        """One image failed; the job goes on."""

    def finish(self) -> None:
        """The counted stage is over, in success or not."""
