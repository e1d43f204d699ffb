"""Pictures of which a head is least sure."""

from __future__ import annotations

import numpy as np

from featx.curation.strategy import BLOCK, Candidates, Chosen
from featx.wording import option

ALIKE = 0.985
"""Similarity from which of two pictures one is enough: the head would learn the same from both."""

LOOKED_AT = 4
"""So many times the pictures that are wanted are looked at, for enough that are not alike."""


class UncertainStrategy:
    """The least margin between the two most probable classes (Scheffer, Decomain and Wrobel, 2001).

    Of several labels, the probability that is nearest to one half decides. Pictures that are almost
    the same as one that was chosen come last.
    """

    title = "the pictures of which a head is least sure"
    score = "1 less the margin between the two most probable classes"
    uses_head = True

    def unsuited(self, candidates: Candidates) -> str | None:
        """Return that there is no head, or none with probabilities."""
        if candidates.head is None:
            return f"a head says how sure it is: name one with {option('head')}"
        if candidates.head.task == "regression":
            return "the head predicts a number, and says nothing of how sure it is"
        return None

    def choose(self, candidates: Candidates, count: int) -> Chosen:
        """Choose, the least sure first."""
        assert candidates.head is not None
        parts = []
        for start in range(0, len(candidates), BLOCK):
            proba = candidates.head.predict_proba(candidates.values[start : start + BLOCK])
            parts.append(_measure(proba, is_single=candidates.head.task == "single"))
        uncertainty = np.concatenate(parts)
        order = np.argsort(-uncertainty, kind="stable")
        rows = _put_alike_last(candidates, order[: LOOKED_AT * count], count)
        return Chosen(rows, uncertainty[rows])


def _measure(proba: np.ndarray, *, is_single: bool) -> np.ndarray:
    """Return how unsure probabilities (n, C) are, in [0, 1], (n,)."""
    if not is_single:
        return np.asarray(1 - np.abs(2 * proba - 1).min(axis=1))
    if proba.shape[1] < 2:
        return np.zeros(len(proba))
    best = np.partition(proba, -2, axis=1)
    return np.asarray(1 - (best[:, -1] - best[:, -2]))


def _put_alike_last(candidates: Candidates, order: np.ndarray, count: int) -> np.ndarray:
    """Return `count` rows in their order, but those that are like an earlier one behind all."""
    chosen: list[int] = []
    vectors = np.empty((count, candidates.values.shape[1]), np.float32)
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        for row, vector in zip(rows.tolist(), candidates.directions.take(rows), strict=True):
            if len(chosen) == count:
                return np.array(chosen, np.int64)
            if not chosen or float((vectors[: len(chosen)] @ vector).max()) < ALIKE:
                vectors[len(chosen)] = vector
                chosen.append(row)
    alike = order[~np.isin(order, chosen)][: count - len(chosen)]
    return np.concatenate([np.array(chosen, np.int64), alike])


uncertain = UncertainStrategy()
