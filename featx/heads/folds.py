"""Rows that are held out to compare settings and kinds: the same for every kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.heads.kinds import Examples
from featx.heads.splits import split_folds

NUM_FOLDS = 5
"""Of up to `FEW` examples: with five per class, four of them are fitted on."""

FEW, MANY = 2_000, 10_000
"""Above `FEW` examples there are three folds; above `MANY` one part, a fifth, is held out."""

COMPARED_ROWS = 20_000
"""Examples on which kinds and layers are compared, and up to two more of each class: on more, the
order does not change any more."""

MOST_HELD_OUT = 20_000
"""A loss on so many rows is known to about one per cent."""

MOST_SCORES = 10_000_000
"""Held-out rows times classes: 40 MB in float32."""


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Which rows are held out when.

    Attributes:
        numbers: For each row the fold in which it is held out, (N,); -1 where it never is.
        count: Number of folds; 0 if there are too few examples to hold any out.
    """

    numbers: np.ndarray
    count: int

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, for each fold, the numbers of the rows to fit on and of those held out."""
        for fold in range(self.count):
            is_held_out = self.numbers == fold
            yield np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)

    def first(self) -> Folds:
        """Return the first fold alone: what it does not hold out is never held out."""
        return Folds(np.where(self.numbers == 0, 0, -1), min(self.count, 1))

    @property
    def held_out(self) -> np.ndarray:
        """Numbers of all rows that are held out at some time, fold by fold."""
        return np.concatenate([test for _, test in self] or [np.zeros(0, np.int64)])


def make_folds(examples: Examples, seed: int) -> Folds:
    """Divide examples so that every class is fitted on, and groups stay together.

    Never held out are classes of a single group, and groups in several classes, unless most
    examples are in such groups (patients, each with pictures of every class).

    Example:
        >>> examples = Examples(np.zeros((20, 3)), np.arange(20) % 2, 2, np.arange(20))
        >>> [len(test) for _, test in make_folds(examples, seed=0)]
        [4, 4, 4, 4, 4]
    """
    nothing = Folds(np.full(len(examples), -1), 0)
    _, first, groups = np.unique(examples.groups, return_index=True, return_inverse=True)
    targets = examples.targets if examples.task == "single" else np.zeros(len(examples), int)
    classes = targets[first]
    is_clear = np.ones(len(first), bool)
    is_clear[groups[targets != classes[groups]]] = False
    if examples.task == "single" and 2 * is_clear[groups].sum() < len(examples):
        return _divide_mixed(examples, seed)
    sizes = np.bincount(classes[is_clear], minlength=examples.num_classes)
    is_used = is_clear & (sizes[classes] >= 2)
    if len(np.unique(classes[is_used])) < (2 if examples.task == "single" else 1):
        return nothing
    count = int(min(NUM_FOLDS if len(examples) <= FEW else 3, sizes.max()))
    if len(examples) > MANY:
        count = NUM_FOLDS
    used = np.flatnonzero(is_used)
    order = np.random.default_rng(seed).permutation(used)
    order = order[np.argsort(classes[order], kind="stable")]
    of_group = np.full(len(first), -1)
    of_group[order] = np.arange(len(order)) % count
    numbers = of_group[groups]
    if len(examples) <= MANY:
        return Folds(numbers, count)
    return Folds(_thin(numbers, examples.num_classes, seed), 1)


def _divide_mixed(examples: Examples, seed: int) -> Folds:
    """Divide examples whose groups have several classes each."""
    fixed = np.zeros(len(examples), bool)
    numbers = split_folds(examples.targets, examples.groups, 3, seed=seed, fixed=fixed)
    used = numbers >= 0
    found, numbers[used] = np.unique(numbers[used], return_inverse=True)
    if len(examples) <= MANY or not len(found):
        return Folds(numbers, len(found))
    return Folds(_thin(numbers, examples.num_classes, seed), 1)


def _thin(numbers: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    """Hold out fold 0 alone, and no more of it than are needed; the others are left out."""
    held_out = np.flatnonzero(numbers == 0)
    most = min(MOST_HELD_OUT, max(1_000, MOST_SCORES // num_classes))
    kept = np.random.default_rng(seed).permutation(held_out)[:most]
    result = np.full(len(numbers), -1)
    result[kept] = 0
    return result


def sample_rows(examples: Examples, most: int, seed: int) -> np.ndarray:
    """Return at most `most` row numbers, of every class about the same share, at least two.

    Rows are in their order. A class may bring a few more than its share, so that there can be a
    few more rows than `most`.
    """
    if len(examples) <= most:
        return np.arange(len(examples))
    order = np.random.default_rng(seed).permutation(len(examples))
    if examples.task != "single":
        return np.sort(order[:most])
    order = order[np.argsort(examples.targets[order], kind="stable")]
    sizes = np.bincount(examples.targets, minlength=examples.num_classes)
    starts = np.cumsum(sizes) - sizes
    places = np.arange(len(order)) - starts[examples.targets[order]]  # Within the class.
    wanted = np.maximum(2, np.ceil(sizes * most / len(examples)))
    return np.sort(order[places < wanted[examples.targets[order]]])
