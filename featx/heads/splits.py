"""Division of labelled rows into parts to fit on and parts to measure on."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


def split_stratified(
    targets: np.ndarray,
    groups: np.ndarray,
    *,
    test_size: float,
    seed: int,
    fixed: np.ndarray | None = None,
) -> np.ndarray:
    """Choose held-out rows: the same share of every class, with groups on one side.

    A picture that is in the folder twice must not be both learned from and tested on, or the
    accuracy is too good to be true. So the rows of a group stay together.

    Args:
        targets: Class numbers, (N,).
        groups: Group numbers, (N,): equal for identical files, and whatever else belongs together.
        test_size: Share of each class to hold out, in [0, 1).
        seed: For shuffling; the same seed gives the same split.
        fixed: bool (N,), True for rows whose group is for training; those of groups in several
            classes when None.

    Returns:
        bool (N,), True for held-out rows. All rows of a class with a single group are for
        training; of two groups or more, at least one is held out, at least one is not, and the
        rows held out come as near to the share as groups allow. A group in several classes counts
        for that of most of its rows, and is held out only while another group of each of its
        classes is for training.

    Example:
        >>> held_out = split_stratified(np.repeat([0, 1], 10), np.arange(20), test_size=0.2, seed=0)
        >>> held_out[:10].sum(), held_out[10:].sum()
        (np.int64(2), np.int64(2))
    """
    if test_size <= 0:
        return np.zeros(len(targets), bool)
    random = np.random.default_rng(seed)
    table = _count_classes(targets, groups, fixed)
    left = table.groups_of_classes
    chosen: list[int] = []
    for _, members in table.by_class():
        if len(members) < 2:
            continue
        sizes = table.sizes[members]
        # Of groups that are all too large, the smallest is held out.
        wanted = max(round(test_size * int(sizes.sum())), 1, int(sizes.min()) // 2 + 1)
        most = len(members) - 1
        for group in random.permutation(members).tolist():
            if wanted <= 0 or not most:
                break
            size, classes = int(table.sizes[group]), table.classes[table.pairs_of(group)]
            if size < 2 * wanted and (left[classes] > 1).all():
                left[classes] -= 1
                most -= 1
                wanted -= size
                chosen.append(group)
    return np.isin(groups, table.numbers[chosen])


def split_folds(
    targets: np.ndarray,
    groups: np.ndarray,
    num_folds: int,
    *,
    seed: int,
    fixed: np.ndarray | None = None,
) -> np.ndarray:
    """Choose the fold in which each row is held out: classes in equal shares, groups together.

    Args:
        targets: Class numbers, (N,).
        groups: Group numbers, (N,).
        num_folds: K, at least 2.
        seed: For shuffling; the same seed gives the same folds.
        fixed: As for `split_stratified`.

    Returns:
        Fold numbers, (N,), from 0; -1 for rows that are never held out: fixed ones, and where
        otherwise a class would have nothing to fit on.

    Example:
        >>> folds = split_folds(np.repeat([0, 1], 6), np.arange(12), 3, seed=0)
        >>> np.bincount(folds[:6]), np.bincount(folds[6:])
        (array([2, 2, 2]), array([2, 2, 2]))
    """
    random = np.random.default_rng(seed)
    table = _count_classes(targets, groups, fixed)
    folds = np.full(len(table.numbers), -1)
    rows = np.zeros((len(table.groups_of_classes), num_folds), np.int64)
    for turn, (target, members) in enumerate(table.by_class()):
        order = random.permutation(members)
        order = order[np.argsort(-table.sizes[order], kind="stable")]
        loads = [
            (int(load), (fold - turn) % num_folds, fold) for fold, load in enumerate(rows[target])
        ]
        heapq.heapify(loads)
        for group in order.tolist():  # Each goes where the fewest rows of its class are.
            _, rank, fold = loads[0]
            folds[group] = fold
            pairs = table.pairs_of(group)
            rows[table.classes[pairs], fold] += table.counts[pairs]
            heapq.heapreplace(loads, (int(rows[target, fold]), rank, fold))
    for fold in range(num_folds):
        left = table.groups_of_classes - table.groups_in(np.flatnonzero(folds == fold))
        for absent in np.flatnonzero(left == 0):
            folds[table.groups[(table.classes == absent) & (folds[table.groups] == fold)]] = -1
    return np.asarray(folds[np.unique(groups, return_inverse=True)[1].reshape(-1)])


@dataclass(frozen=True, slots=True, eq=False)
class _ClassesOfGroups:
    """Which classes the groups have, in M pairs of a group and a class, ordered by both.

    Attributes:
        numbers: The G group numbers.
        sizes: Rows of each group, (G,).
        is_fixed: Whether a group is never held out, (G,).
        groups: Positions in `numbers`, (M,).
        classes: Class numbers, (M,).
        counts: Rows of each pair, (M,).
        largest: The class of most rows of each group, (G,).
        starts: The first pair of each group, and M, (G + 1,).
    """

    numbers: np.ndarray
    sizes: np.ndarray
    is_fixed: np.ndarray
    groups: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    largest: np.ndarray
    starts: np.ndarray

    @property
    def groups_of_classes(self) -> np.ndarray:
        """Number of groups of each class, (C,)."""
        return np.bincount(self.classes)

    def groups_in(self, chosen: list[int] | np.ndarray) -> np.ndarray:
        """Return the number of groups of each class among some groups, (C,)."""
        inside = np.isin(self.groups, chosen)
        return np.bincount(self.classes[inside], minlength=len(self.groups_of_classes))

    def pairs_of(self, group: int) -> slice:
        """Return which of the pairs are those of one group."""
        return slice(int(self.starts[group]), int(self.starts[group + 1]))

    def by_class(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield classes and their groups that are not fixed, each where most of its rows are."""
        for target in np.unique(self.largest).tolist():
            yield target, np.flatnonzero((self.largest == target) & ~self.is_fixed)


def _count_classes(
    targets: np.ndarray, groups: np.ndarray, fixed: np.ndarray | None
) -> _ClassesOfGroups:
    numbers, positions, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    positions = positions.reshape(-1)
    # One number for each pair: sorting rows of a matrix takes ten times as long.
    num_classes = int(targets.max(initial=0)) + 1
    pairs, counts = np.unique(positions * num_classes + targets, return_counts=True)
    of_groups, classes = np.divmod(pairs, num_classes)
    starts = np.searchsorted(of_groups, np.arange(len(numbers) + 1))
    order = np.lexsort((-counts, of_groups))  # Of each group, the class of most rows first.
    largest = classes[order[starts[:-1]]]
    if fixed is None:
        is_fixed = np.bincount(of_groups) > 1
    else:
        is_fixed = np.zeros(len(numbers), bool)
        is_fixed[positions[fixed]] = True
    return _ClassesOfGroups(numbers, sizes, is_fixed, of_groups, classes, counts, largest, starts)
