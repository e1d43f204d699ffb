"""Finding rows by key, or by the path of an image."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featx.errors import InvalidType, UnknownImage
from featx.images.roots import Root
from featx.images.sources import Location


class KeyLocator:
    """The rows of keys.

    Args:
        keys: N keys.
        root: What they are relative to, by which paths are found.

    Example:
        >>> locator = KeyLocator(["cat/1.jpg", "2.jpg"], Root.parse("/data/photos"))
        >>> locator.rows(["2.jpg", "/data/photos/cat/1.jpg"]), locator.find("3.jpg")
        (array([1, 0]), None)
    """

    def __init__(self, keys: Sequence[str], root: Root) -> None:
        self._row = {key: row for row, key in enumerate(keys)}
        self._root = root

    def rows(self, keys: Location | Iterable[Location]) -> np.ndarray:
        """Return the rows of keys, int64 (n,), or of one, ().

        Raises:
            UnknownImage: If there is no such image.
            InvalidType: If one is no key.
        """
        if isinstance(keys, (str, os.PathLike)) or not isinstance(keys, Iterable):
            return np.array(self._require(keys), np.int64)
        return np.array([self._require(key) for key in keys], np.int64)

    def find(self, key: Location) -> int | None:
        """Return the row of a key or path; None if there is none."""
        text = os.fspath(key)
        row = self._row.get(text)
        if row is not None or not self._root.is_on_disk:
            return row
        # A path, as a data frame has it: absolute, or relative to the current folder.
        below = os.path.relpath(os.path.abspath(text), self._root.text).replace(os.sep, "/")
        return self._row.get(below)

    def _require(self, key: Any) -> int:
        if not isinstance(key, (str, os.PathLike)):
            raise InvalidType(f"A key is a text, or the path of an image. Received: {key!r}.")
        row = self.find(key)
        if row is None:
            raise UnknownImage("image in the store", os.fspath(key), self._row)
        return row
