"""Mirrored copies: features of many networks tell them apart, so the pictures are compared."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from featx.curation.grouping import Mirrored
from featx.curation.pairs import NearPairs
from featx.heads.near_duplicates import find_alike

LEAST_THUMBNAIL = 0.98
"""Correlation of a mirrored thumbnail with another one, from which on they show the same."""

LEAST_FEATURES = 0.5
"""Cosine of their features, less the mean: networks see much of the same in a mirrored picture. It
tells pictures from each other whose thumbnails are alike, such as products on a white ground."""

LEAST_CONTRAST = 0.02
"""Standard deviation of a thumbnail, in [0, 1]: below, there is nothing to be compared."""


def find_mirrored(thumbnails: np.ndarray, rows: np.ndarray, found: NearPairs) -> Mirrored | None:
    """Find pairs of pictures of which one is the mirror image of the other.

    Args:
        thumbnails: uint8 (n, s, s, 3).
        rows: The rows that they are of, (n,).
        found: Near-duplicates as they are; pairs among them are not counted again.

    Returns:
        The pairs; None where so many pictures are so much alike that it says nothing.
    """
    flat, is_clear = _flatten(thumbnails)
    thumbnails, rows = thumbnails[is_clear], rows[is_clear]
    if len(rows) < 2:
        return {}
    flat, turned = flat[is_clear], _flatten(thumbnails[:, :, ::-1])[0]
    both = np.concatenate([flat, turned])
    alike = find_alike(both, LEAST_THUMBNAIL, mean=np.zeros(both.shape[1], np.float32))
    if alike is None:
        return None
    result: dict[int, dict[int, float]] = defaultdict(dict)
    known = set(map(tuple, found.rows.tolist()))
    for (one, other), similarity in zip(alike.rows, alike.similarity, strict=True):
        if not one < len(rows) <= other or other - len(rows) <= one:
            continue  # Neither is mirrored, or both, or it is the pair from the other side.
        pair = sorted((int(rows[one]), int(rows[other - len(rows)])))
        if tuple(pair) in known or found.compare_pair(*pair) < LEAST_FEATURES:
            continue
        for row, copy in (pair, pair[::-1]):
            result[row][copy] = float(min(similarity, 1))
    return result


def is_mirrored(best: np.ndarray, other: np.ndarray) -> bool:
    """Whether a thumbnail is more like the mirror image of another one than like itself.

    Args:
        best: uint8 (s, s, 3).
        other: The same.
    """
    pictures, _ = _flatten(np.stack([best, best[:, ::-1], other]))
    as_it_is, turned = pictures[:2] @ pictures[2]
    return bool(turned > as_it_is + LEAST_CONTRAST**2)


def _flatten(thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thumbnails less their mean, float32 (n, D), and which of them show something."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32) / 255
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat, flat.std(axis=1) >= LEAST_CONTRAST
