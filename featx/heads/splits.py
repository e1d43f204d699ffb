"""Division of labelled rows into a training and a held-out part."""

from __future__ import annotations

import numpy as np


def split_stratified(
    targets: np.ndarray, groups: np.ndarray, *, test_size: float, seed: int
) -> np.ndarray:
    """Choose held-out rows: the same share of every class, with identical files on one side.

    A picture that is in the folder twice must not be both learned from and tested on, or the
    accuracy is too good to be true. So the rows of a group stay together.

    Args:
        targets: Class numbers, (N,).
        groups: Group numbers, (N,): equal for identical files.
        test_size: Share of each class to hold out, in [0, 1).
        seed: For shuffling; the same seed gives the same split.

    Returns:
        bool (N,), True for held-out rows. All rows of a class with a single group are for
        training; of two groups or more, at least one is held out and at least one is not.
        Identical files with different labels are for training: any prediction for them is wrong
        for some.

    Example:
        >>> held_out = split_stratified(np.repeat([0, 1], 10), np.arange(20), test_size=0.2, seed=0)
        >>> held_out[:10].sum(), held_out[10:].sum()
        (np.int64(2), np.int64(2))
    """
    random = np.random.default_rng(seed)
    held_out_groups: set[int] = set()
    if test_size > 0:
        pairs = np.unique(np.stack([groups, targets]), axis=1)  # Sorted by group, then class.
        group_numbers, group_sizes = np.unique(pairs[0], return_counts=True)
        unambiguous = np.isin(pairs[0], group_numbers[group_sizes == 1])
        for target in np.unique(targets):
            members = pairs[0][unambiguous & (pairs[1] == target)]
            if len(members) < 2:
                continue
            count = min(max(1, round(test_size * len(members))), len(members) - 1)
            held_out_groups.update(random.permutation(members)[:count].tolist())
    return np.isin(groups, list(held_out_groups))
