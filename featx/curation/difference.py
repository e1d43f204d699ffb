"""Do two sets of pictures differ? A classifier that tries to tell them apart, and chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_ROWS = 2_000
"""Rows of both sets together by which they are compared."""

FEWEST = 20
"""Rows of a set, below which nothing is said of it."""

DIMENSIONS = 64
"""Principal components in which they are compared."""

PERMUTATIONS = 60
"""Times that the sides are exchanged at random, which shows what chance does."""

FOLDS = 5

DEVIATIONS, LEAST_GAIN = 4.0, 0.03
"""By so many standard deviations of chance, and by so much, the AUROC must be above that of
chance: differences that are certain, but tiny, do not matter."""


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """How well two sets are told apart.

    Attributes:
        auroc: Area under the ROC curve of held-out rows, in [0, 1]; 0.5 is chance.
        chance: The same, by chance: a value that is hardly ever exceeded.
        rows: Rows that were compared, (n,).
        scores: How much each looks as if it were of the second set, (n,).
    """

    auroc: float
    chance: float
    rows: np.ndarray
    scores: np.ndarray

    def __str__(self) -> str:
        return (
            f"told apart with an AUROC of {self.auroc:.3f}; by chance it is at most "
            f"{self.chance:.3f}"
        )

    @property
    def is_real(self) -> bool:
        """Whether it is larger than chance explains."""
        return self.auroc > self.chance


def compare_sets(
    values: np.ndarray,
    is_second: np.ndarray,
    strata: np.ndarray,
    seed: int,
    groups: np.ndarray | None = None,
) -> Difference | None:
    """Try to tell two sets of rows apart by their features.

    Least squares on principal components, in five folds. What chance does is seen when the sides of
    the rows are exchanged at random within their classes: so other shares of the classes alone are
    no difference. Of copies in one set, one is compared: otherwise those of a row that was held
    out would tell where it belongs.

    Args:
        values: Features, (N, D).
        is_second: Which rows are of the second set, bool (N,).
        strata: Class numbers, (N,).
        seed: For the sample, the folds and the exchanges.
        groups: Group numbers, (N,), equal for copies; none are when None.

    Returns:
        None where one of the sets has too few rows.

    Example:
        >>> random = np.random.default_rng(0)
        >>> values, sides = random.normal(size=(200, 8)), np.arange(200) % 2 == 0
        >>> compare_sets(values, sides, np.zeros(200, int), seed=0).is_real
        False
        >>> compare_sets(values + sides[:, None], sides, np.zeros(200, int), seed=0).is_real
        True
    """
    random = np.random.default_rng(seed)
    numbers = np.arange(len(values)) if groups is None else groups
    chosen = []
    for side in (False, True):
        own = random.permutation(np.flatnonzero(is_second == side))
        first = np.sort(np.unique(numbers[own], return_index=True)[1])
        chosen.append(own[first][: MOST_ROWS // 2])
    if min(map(len, chosen)) < FEWEST:
        return None
    rows = np.sort(np.concatenate(chosen))
    components, sides = _reduce(values[rows]), is_second[rows]
    folds = random.permutation(np.arange(len(rows)) % FOLDS)
    solvers = [_solve(components, folds == fold) for fold in range(FOLDS)]

    def score(labels: np.ndarray) -> np.ndarray:
        scores = np.empty(len(labels))
        for fold, (inverse, train) in enumerate(solvers):
            weights = inverse @ labels[train].astype(np.float64)
            scores[folds == fold] = components[folds == fold] @ weights
        return scores

    scores = score(sides)
    by_chance = []
    for _ in range(PERMUTATIONS):
        exchanged = _exchange(sides, strata[rows], random)
        by_chance.append(measure_auroc(score(exchanged), exchanged))
    usual, spread = float(np.mean(by_chance)), float(np.std(by_chance))
    limit = usual + max(DEVIATIONS * spread, LEAST_GAIN)
    return Difference(measure_auroc(scores, sides), limit, rows, scores)


def measure_auroc(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """Return the probability that a positive row has the larger score; ties count a half.

    Example:
        >>> measure_auroc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True]))
        0.875
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)]
    positive = int(is_positive.sum())
    negative = len(scores) - positive
    if not positive or not negative:
        return 0.5
    above = ranks[is_positive].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def _reduce(values: np.ndarray) -> np.ndarray:
    """Return standardised principal components, and a column of ones: (n, k + 1)."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    if len(centred) < centred.shape[1]:
        spread, axes = np.linalg.eigh(centred @ centred.T)
        components = (axes * np.sqrt(np.maximum(spread, 0)))[:, ::-1]
    else:
        components = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    components = components[:, :DIMENSIONS]
    scale = components.std(axis=0)
    components = components[:, scale > 1e-9 * max(float(scale.max(initial=0)), 1e-12)]
    components = components / components.std(axis=0)
    return np.column_stack([components, np.ones(len(components))])


def _solve(components: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what turns the sides of the other rows into weights, and which rows these are."""
    train = ~held_out
    design = components[train]
    gram = design.T @ design
    # As strong a penalty as a tenth of the rows: with few of them, weights would be noise.
    gram[np.diag_indices_from(gram)] += 0.1 * len(design)
    return np.linalg.solve(gram, design.T), train


def _exchange(sides: np.ndarray, strata: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exchange sides at random among the rows of each class."""
    order = np.argsort(strata, kind="stable")
    shuffled = np.lexsort((random.random(len(sides)), strata))
    exchanged = np.empty_like(sides)
    exchanged[order] = sides[shuffled]
    return exchanged
