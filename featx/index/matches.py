"""`Match`: one answer to a query."""

from __future__ import annotations

from dataclasses import dataclass

from featx.images.roots import is_url
from featx.shown import Shown


@dataclass(frozen=True, slots=True, repr=False)
class Match(Shown):
    """One answer to a query.

    Attributes:
        rank: 1 for the best.
        key: The image's key in the store.
        path: The image.
        score: Cosine similarity, in [-1, 1]; or what the index's metric is.
        label: Its class, or None.
        copies: Keys of identical files, where they were searched for.
        box: The region that is like the query, where that was asked for: left, top, right and
            bottom in pixels of the image as it is seen.
        size: Width and height of that image; None without a box.
    """

    rank: int
    key: str
    path: str
    score: float
    label: str | None
    copies: tuple[str, ...] = ()
    box: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None

    @property
    def is_at_url(self) -> bool:
        """Whether the image is at a URL rather than on a disk."""
        return is_url(self.path)
