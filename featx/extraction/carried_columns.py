"""Further columns of rows that are written: what a table says, and what is known from before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.extraction.stored import StoredImages
from featx.images.sources import ImageItem
from featx.images.sources.columns import column_of_values


class CarriedColumns:
    """The further columns of images: a table's, beside those that their rows have already.

    An image that was renamed keeps those of its previous name.

    Args:
        stored: What is stored of the images.
        vanished: Keys whose image is gone.
    """

    def __init__(self, stored: StoredImages, vanished: Sequence[str]) -> None:
        self._stored = stored
        self._renamed: dict[bytes | None, str] = {}
        if stored.columns:
            self._renamed = {stored.content_hash(key): key for key in reversed(vanished)}

    def find(self, items: Sequence[ImageItem], content_hash: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of images.

        Args:
            items: n images.
            content_hash: uint8 (n, 16).
        """
        if not self._stored.columns and all(item.row is None for item in items):
            return {}
        pairs = zip(items, map(bytes, content_hash), strict=True)
        rows = [self._values(item, content) for item, content in pairs]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: column_of_values(row.get(name) for row in rows) for name in names}

    def _values(self, item: ImageItem, content: bytes) -> dict[str, Any]:
        key = item.key if item.key in self._stored else self._renamed.get(content, item.key)
        values = self._stored.values(key)
        return values if item.row is None else values | item.row.values()
