"""What a quick head says of pictures with several labels, each of which applies or does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.curation.predictions import ENOUGH, NUM_FOLDS
from featx.events import Listener
from featx.heads.kinds import HEADS, Examples, FitJob
from featx.heads.operations import compute
from featx.heads.splits import split_folds
from featx.heads.targets import find_strata

KIND = "linear"
"""The kind of head that learns several labels and gives a probability of each."""


@dataclass(frozen=True, slots=True, eq=False)
class SeveralLabels:
    """Labels of N pictures, of which each has any number.

    Attributes:
        classes: C names.
        applies: Which of them apply, bool (N, C).
    """

    classes: tuple[str, ...]
    applies: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutAnswers:
    """Predictions for N rows and C labels, by heads that had not seen the row or a copy of it.

    Attributes:
        is_known: Whether there is a prediction, bool (N, C).
        given: Which labels are given, bool (N, C).
        applies: Probability that a label applies, float32 (N, C); 0 where not known.
        own: Probability of what is given, that is that a label applies or does not, (N, C).
        is_wrong: Whether what is given is confidently wrong, bool (N, C).
    """

    is_known: np.ndarray
    given: np.ndarray
    applies: np.ndarray
    own: np.ndarray
    is_wrong: np.ndarray


def predict_held_out_labels(examples: Examples, seed: int, listener: Listener) -> HeldOutAnswers:
    """Predict every row by a head fitted on other folds.

    Each label is a question of its own, with two answers: confident learning of two classes
    (Northcutt, Jiang and Chuang, 2021) for each of them, as Thyagarajan et al., 2022, do.

    Args:
        examples: Rows with several labels, with groups and weights of copies.
        seed: For the folds.
        listener: Receives progress.
    """
    given = examples.targets
    strata, fixed = find_strata(examples), np.zeros(len(given), bool)
    folds = split_folds(strata, examples.groups, NUM_FOLDS, seed=seed, fixed=fixed)
    kind, job = HEADS[KIND], FitJob(seed=seed, listener=listener)
    applies = np.zeros(given.shape, np.float32)
    is_known = np.zeros(given.shape, bool)
    settings = kind.choose(examples, job).settings
    for fold in range(NUM_FOLDS):
        held_out = np.flatnonzero(folds == fold)
        train = examples.take(folds != fold)
        can_learn = train.targets.any(axis=0) & ~train.targets.all(axis=0)
        if len(held_out) and can_learn.any():
            operations = kind.operations(kind.fit(train, settings, job))
            for block in examples.take(held_out).block_rows():
                rows = held_out[block]
                applies[rows] = compute(operations, examples.values[rows])
            is_known[held_out] = can_learn
    applies[~is_known] = 0
    own = np.where(given, applies, 1 - applies)
    is_wrong = is_known & (own < 0.5)
    for answer in (False, True):  # What is suggested comes near the average picture of its kind.
        counts = examples.counts[:, np.newaxis] * (is_known & (given == answer))
        usual = (counts * own).sum(axis=0) / np.maximum(counts.sum(axis=0), 1e-12)
        is_wrong &= (given == answer) | (1 - own >= ENOUGH * usual) & (counts.sum(axis=0) > 0)
    return HeldOutAnswers(is_known, given, applies, own, is_wrong)
