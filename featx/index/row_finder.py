"""Rows of a store found again in other indexes: by the image's content and its vector."""

from __future__ import annotations

import numpy as np


class RowFinder:
    """Finds rows by content hash and the hash of the vector, each of them once.

    Both must be equal: the same picture, computed elsewhere, can have another vector.

    Args:
        content: uint8 (N, 16), content hashes.
        vectors: uint64 (N,), hashes of vectors.
    """

    def __init__(self, content: np.ndarray, vectors: np.ndarray) -> None:
        self._content, self._vectors = content, vectors
        mixed = _mix(content, vectors)
        self._order = np.argsort(mixed, kind="stable")
        self._mixed = mixed[self._order]
        self._found = np.zeros(len(mixed), np.uint32)
        self.num_missing = len(mixed)

    def find(self, content: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Return the row of each of another index's, int64 (n,); -1 where there is none left.

        Of equal ones, each gets a row of its own.

        Example:
            >>> content, vectors = np.zeros((3, 16), np.uint8), np.array([5, 7, 7], np.uint64)
            >>> finder = RowFinder(content, vectors)
            >>> finder.find(content[:2], vectors[1:]), finder.find(content, vectors)
            (array([1, 2]), array([ 0, -1, -1]))
        """
        mixed = _mix(content, vectors)
        order = np.argsort(mixed, kind="stable")
        wanted = mixed[order]
        first = np.searchsorted(self._mixed, wanted)
        begins = np.flatnonzero(np.diff(wanted, prepend=~wanted[:1]) != 0)
        nth = np.arange(len(wanted)) - np.repeat(begins, np.diff(begins, append=len(wanted)))
        inside = np.minimum(first, len(self._mixed) - 1)
        place = first + self._found[inside] + nth
        is_there = place < len(self._mixed)
        is_there[is_there] = self._mixed[place[is_there]] == wanted[is_there]
        found = np.full(len(wanted), -1, np.int64)
        found[is_there] = self._order[place[is_there]]
        np.add.at(self._found, first[is_there], 1)
        self.num_missing -= int(is_there.sum())
        rows = np.empty(len(wanted), np.int64)
        rows[order] = found
        return self._keep_equal(rows, content, vectors)

    def _keep_equal(self, rows: np.ndarray, content: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Take back what only has the same mixture."""
        here = np.flatnonzero(rows >= 0)
        same = (self._content[rows[here]] == content[here]).all(axis=1)
        same &= self._vectors[rows[here]] == vectors[here]
        rows[here[~same]] = -1
        self.num_missing += int((~same).sum())
        return rows


def _mix(content: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return a number of each pair of hashes, uint64 (n,)."""
    begins = np.ascontiguousarray(content[:, :8]).view("<u8")[:, 0]
    return np.asarray(begins ^ vectors)
