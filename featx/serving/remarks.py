"""What a piece of work says of itself, kept for those who look at what it gave."""

from __future__ import annotations

from pathlib import Path

from featx.events import Listener


class Remarks(Listener):
    """Keeps the notes of a job.

    Attributes:
        remarks: They, in their order.
        store: The store, whose place is left out: clients are not told where it is.

    Example:
        >>> kept = Remarks()
        >>> kept.note("layout: PCA")
        >>> kept.remarks
        ['layout: PCA']
    """

    store: Path | None = None

    def __init__(self) -> None:
        self.remarks: list[str] = []

    def note(self, text: str) -> None:
        """Keep a message."""
        place = self.store
        self.remarks.append(text if place is None else text.replace(str(place), place.name))
