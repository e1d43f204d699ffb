"""How accuracy grows with the number of examples: whether more pictures would help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.heads.judging import Judge
from featx.heads.kinds import Examples, FitJob, HeadKind
from featx.heads.operations import compute
from featx.heads.targets import find_strata

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Shares of the training rows that are fitted on; all of them together take less time than one
fit on all rows."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A head that was fitted on some of the training rows.

    Attributes:
        num_train: How many rows it was fitted on.
        accuracy: Its accuracy on the held-out rows, which are always the same; of several labels
            its mean average precision, of a number its mean absolute error.
    """

    num_train: int
    accuracy: float


def measure_curve(
    kind: HeadKind, train: Examples, test: Examples, settings: Mapping[str, Any], job: FitJob
) -> Iterator[CurvePoint]:
    """Fit on more and more of the training rows, with the settings chosen for all of them.

    Every class keeps its share, and at least one row. All of the rows are not fitted on again.

    Args:
        kind: The kind of head.
        train: The training rows.
        test: The held-out rows.
        settings: What `kind` chose by the training rows.
        job: Seed, options and listener.

    Yields:
        One point for each share that gives another number of rows, fewest first.
    """
    order = np.random.default_rng(job.seed).permutation(len(train))
    strata = find_strata(train)
    ranks = _ranks_in_class(strata, order)
    sizes = np.bincount(strata)
    judge = Judge(train.task, (), job.seed)
    last = 0
    for share in SHARES:
        kept = np.maximum(1, np.round(share * sizes))
        chosen = ranks < kept[strata]
        count = int(chosen.sum())
        if last < count < len(train):
            weights = kind.fit(train.take(chosen), settings, job)
            outputs = compute(kind.operations(weights), test.values)
            yield CurvePoint(count, judge.score(outputs, test.targets))
            last = count


def _ranks_in_class(targets: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return for each row how many rows of its class come before it in an order, (N,).

    Example:
        >>> _ranks_in_class(np.array([0, 1, 0]), np.array([2, 1, 0])).tolist()
        [1, 0, 0]
    """
    by_class = order[np.argsort(targets[order], kind="stable")]
    starts = np.searchsorted(targets[by_class], targets[by_class])
    ranks = np.empty(len(targets), np.int64)
    ranks[by_class] = np.arange(len(targets)) - starts
    return ranks
