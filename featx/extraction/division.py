"""Dividing images among workers while they work: each task about as long as a part may take."""

from __future__ import annotations

import math
from collections.abc import Sequence

from featx.images.sources import ImageItem
from featx.images.sources.items import ReadsInOrder
from featx.store.parts import PART_BYTES

TASK_SECONDS = 15.0
"""How long a task is to take: a killed worker loses at most the one that it computes, as on one
machine, and the one that it writes."""

LEAST_SECONDS = 1.0
"""How long a task is to take towards the end, so that all workers end at about the same time."""

FIRST_TASK = 64
"""Images of a worker's first task, by which the next ones are measured; and the fewest of any."""

MOST_TASKS = 2000
"""Tasks are longer where there would be more of them: each is a file or several."""


class Division:
    """Cuts images into tasks, as they are asked for.

    How long a task takes is known from those that are done. Towards the end they become shorter, so
    that all workers end at about the same time. Pictures of an archive that is read in one pass
    stay together.

    Args:
        items: The images, in order.
        row_bytes: Bytes of the features of one image.
        num_workers: How many work at the same time.

    Example:
        >>> images = [ImageItem(f"{i}.jpg", None, None, 1, 1) for i in range(1000)]
        >>> division = Division(images, row_bytes=1024, num_workers=1)
        >>> len(division.take())
        64
        >>> division.measure(64, 1.5)
        >>> len(division.take())
        640
    """

    def __init__(self, items: Sequence[ImageItem], *, row_bytes: int, num_workers: int) -> None:
        self._items = items
        self._start = 0
        self._num_workers = num_workers
        self._fewest = max(FIRST_TASK, len(items) // MOST_TASKS)
        self._most = max(self._fewest, PART_BYTES // max(1, row_bytes))
        self._images = 0
        self._seconds = 0.0

    def measure(self, num_images: int, seconds: float) -> None:
        """Take note of how long a worker took for some images."""
        self._images += num_images
        self._seconds += seconds

    def take(self) -> Sequence[ImageItem]:
        """Return the images of the next task; none at the end."""
        left = len(self._items) - self._start
        size = self._fewest
        if self._seconds > 0:
            rate = self._images / self._seconds
            size = round(TASK_SECONDS * rate)
            if self._num_workers > 1:
                share = math.ceil(left / (2 * self._num_workers))
                size = min(size, max(share, round(LEAST_SECONDS * rate)))
            size = -(-min(max(size, self._fewest), self._most) // FIRST_TASK) * FIRST_TASK
        end = self._without_cut(min(self._start + size, len(self._items)))
        taken = self._items[self._start : end]
        self._start = end
        return taken

    def _without_cut(self, end: int) -> int:
        """Return the end of a task that does not cut an archive that is read in one pass."""
        while end < len(self._items):
            here, before = self._items[end].reader, self._items[end - 1].reader
            reader: object = here
            if not isinstance(reader, ReadsInOrder) or here is not before:
                break
            end += 1
        return end
