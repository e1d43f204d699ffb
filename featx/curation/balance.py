"""How many pictures of each class: equally many, as far as there are."""

from __future__ import annotations

import numpy as np


def sizes_of_smallest(sizes: np.ndarray) -> np.ndarray:
    """Return for every class the size of the smallest, (C,).

    Example:
        >>> sizes_of_smallest(np.array([5, 3, 8])).tolist()
        [3, 3, 3]
    """
    return np.full(len(sizes), sizes.min())


def share_equally(total: int, sizes: np.ndarray) -> np.ndarray:
    """Divide a number among classes: equal shares, but none above the size of its class.

    Args:
        total: What is divided, at most the sum of the sizes.
        sizes: Of the classes, (C,).

    Returns:
        Shares with that sum, (C,); of classes that are large enough, they differ by 1 at most.

    Example:
        >>> share_equally(10, np.array([2, 9, 9])).tolist()
        [2, 4, 4]
        >>> share_equally(4, np.array([3, 3, 3])).tolist()
        [2, 1, 1]
    """
    shares = np.zeros(len(sizes), np.int64)
    while total:
        open_ = np.flatnonzero(shares < sizes)
        each = max(1, total // len(open_))
        added = np.minimum(each, sizes[open_] - shares[open_])[: max(1, total // each)]
        shares[open_[: len(added)]] += added
        total -= int(added.sum())
    return shares
