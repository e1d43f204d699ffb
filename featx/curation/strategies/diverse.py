"""Pictures that cover all others: each is the one least like those chosen before."""

from __future__ import annotations

import numpy as np

from featx.curation.strategy import Candidates, Chosen


class DiverseStrategy:
    """k-centre, by the greedy algorithm of Gonzalez (1985).

    The largest distance of any picture to the nearest chosen one is at most twice the least that is
    possible. The first is the one nearest to the mean of all directions.
    """

    title = "the pictures least like each other"
    score = "distance to the nearest of those chosen before"
    uses_head = False

    def unsuited(self, candidates: Candidates) -> str | None:
        """Return None: any pictures will do."""
        return None

    def choose(self, candidates: Candidates, count: int) -> Chosen:
        """Choose; memory is that of one block, and of one number for each picture."""
        total = len(candidates)
        nearest = np.full(total, np.inf, np.float32)
        rows, scores = np.empty(count, np.int64), np.empty(count)
        candidates.listener.start(count, "images chosen")
        try:
            for place in range(count):
                row = _find_middle(candidates) if place == 0 else int(nearest.argmax())
                rows[place] = row
                scores[place] = np.nan if place == 0 else np.sqrt(max(float(nearest[row]), 0.0))
                centre = candidates.directions.take(np.array([row]))[0]
                for part, block in candidates.blocks():
                    np.minimum(nearest[part], _distances(block, centre), out=nearest[part])
                nearest[row] = -np.inf  # Not chosen again, even where all others are copies.
                candidates.listener.advance(1)
        finally:
            candidates.listener.finish()
        return Chosen(rows, scores)


def _distances(block: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return squared distances of vectors of length 1 or 0 to another, (n,)."""
    lengths = np.einsum("ij,ij->i", block, block)
    return np.asarray(np.maximum(lengths + centre @ centre - 2 * (block @ centre), 0))


def _find_middle(candidates: Candidates) -> int:
    sums = sum(block.sum(axis=0, dtype=np.float64) for _, block in candidates.blocks())
    middle = np.asarray(sums / len(candidates), np.float32)
    distances = [_distances(block, middle) for _, block in candidates.blocks()]
    return int(np.concatenate(distances).argmin())


diverse = DiverseStrategy()
