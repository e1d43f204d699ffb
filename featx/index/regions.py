"""The region of a picture that is like a query, found in the map of a layer.

Each cell of a map has a likeness to the query, the cosine of two vectors. What is above a level
counts for a rectangle, what is below counts against it, and the rectangle of the largest sum is the
region: the largest subarray of two dimensions (Bentley, 1984; for pictures, Lampert et al., 2008).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from featx.index.projection import normalize_rows

COMMON = 0.5
"""How much of the query's direction along the mean of the map is left out. That is what all cells
have in common, and says little of where they differ."""

LEVEL = 0.3
"""Where a likeness begins to count: from the mean of all cells (0) to the best one (1). `COMMON`
and `LEVEL` gave the best boxes around photographs that were pasted into others, with the maps of
MobileNetV2 and of the built-in network alike."""

SAME = 0.995
"""The cosine from which a picture as a whole is the query: copies, in another size or format."""

FINENESS, FINE_CELLS = 4, 32
"""Maps of up to so many cells on a side are interpolated to so many times as many: edges of objects
are seldom those of cells."""

FLAT = 1e-5
"""Likenesses that differ by no more than this are the same."""


class Region(NamedTuple):
    """A rectangle of a map, as shares of its width and height, from 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float

    def cut(self, maps: np.ndarray) -> np.ndarray:
        """Return the cells of (h, w, C) maps that it touches by half or more, one at least."""
        rows = _range(self.top, self.bottom, maps.shape[0])
        return maps[rows, _range(self.left, self.right, maps.shape[1])]


WHOLE = Region(0.0, 0.0, 1.0, 1.0)


def find_region(maps: np.ndarray, query: np.ndarray, inside: Region = WHOLE) -> Region:
    """Return the rectangle of a map that is most like a query.

    Args:
        maps: (h, w, C), of one picture.
        query: float32 (C,), a pooled vector.
        inside: Only there; what is outside shows nothing of the picture.

    Returns:
        All of `inside` where the whole is the query, or no cell is more like it than another.

    Example:
        >>> maps = np.zeros((8, 8, 2))
        >>> maps[..., 0] = 1
        >>> maps[2:6, 4:8] = 0, 1
        >>> find_region(maps, np.array([0, 1]))
        Region(left=0.5, top=0.25, right=1.0, bottom=0.75)
    """
    maps = maps.astype(np.float32)
    whole, unit = normalize_rows(np.stack([maps.mean(axis=(0, 1)), query]))
    if whole @ unit >= SAME:
        return inside
    fine = _refine(_likeness(maps, query))
    high, wide = fine.shape
    rows, columns = _range(inside.top, inside.bottom, high), _range(inside.left, inside.right, wide)
    fine = fine[rows, columns]
    mean, best = float(fine.mean()), float(fine.max())
    if best - mean <= FLAT:
        return inside
    top, bottom, left, right = _largest_sum(fine - (mean + LEVEL * (best - mean)))
    return Region(
        (columns.start + left) / wide,
        (rows.start + top) / high,
        (columns.start + right) / wide,
        (rows.start + bottom) / high,
    )


def _likeness(maps: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the cosine of each cell with the query, less what all cells have in common."""
    (unit,) = normalize_rows(query[np.newaxis])
    (common,) = normalize_rows(maps.mean(axis=(0, 1))[np.newaxis])
    cells = normalize_rows(maps.reshape(-1, maps.shape[-1]))
    likeness = cells @ (unit - COMMON * (unit @ common) * common)
    return np.asarray(likeness.reshape(maps.shape[:2]))


def _refine(values: np.ndarray) -> np.ndarray:
    """Interpolate between the centres of cells, in both directions."""
    if max(values.shape) > FINE_CELLS:
        return values
    for axis in (0, 1):
        count = values.shape[axis]
        places = np.clip((np.arange(count * FINENESS) + 0.5) / FINENESS - 0.5, 0, count - 1)
        below = np.floor(places).astype(np.int64)
        shape = [1, 1]
        shape[axis] = -1
        share = (places - below).astype(np.float32).reshape(shape)
        above = np.minimum(below + 1, count - 1)
        values = values.take(below, axis) * (1 - share) + values.take(above, axis) * share
    return values


def _largest_sum(values: np.ndarray) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the rectangle of the largest sum."""
    high, wide = values.shape
    columns = np.zeros((high + 1, wide))
    columns[1:] = values.cumsum(axis=0)
    best, found = -np.inf, (0, high, 0, wide)
    for top in range(high):  # Kadane's algorithm for all strips that begin here.
        sums = np.zeros((high - top, wide + 1))
        sums[:, 1:] = (columns[top + 1 :] - columns[top]).cumsum(axis=1)
        gains = sums[:, 1:] - np.minimum.accumulate(sums[:, :-1], axis=1)
        strip, end = divmod(int(gains.argmax()), wide)
        if gains[strip, end] > best:
            best = gains[strip, end]
            found = top, top + 1 + strip, int(sums[strip, : end + 1].argmin()), end + 1
    return found


def _range(start: float, end: float, count: int) -> slice:
    """Return which of some cells a stretch from 0 to 1 touches by half or more, one at least."""
    first = min(int(np.floor(start * count + 0.5)), count - 1)
    return slice(first, max(int(np.floor(end * count + 0.5)), first + 1))
