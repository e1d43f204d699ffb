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
        """Choose; memory is that of one block, and of some numbers for each picture."""
        scale = _find_scale(candidates)
        nearest = np.full(len(candidates), np.inf, np.float32)
        rows, scores = np.empty(count, np.int64), np.empty(count)
        candidates.listener.start(count, "images chosen")
        try:
            for place in range(count):
                if place == 0:
                    row = int(_distances(candidates, scale, _find_middle(candidates)).argmin())
                else:
                    row = int(nearest.argmax())
                rows[place] = row
                scores[place] = np.nan if place == 0 else np.sqrt(max(float(nearest[row]), 0.0))
                centre = candidates.directions.take(np.array([row]))[0]
                np.minimum(nearest, _distances(candidates, scale, centre), out=nearest)
                nearest[row] = -np.inf  # Not chosen again, even where all others are copies.
                candidates.listener.advance(1)
        finally:
            candidates.listener.finish()
        return Chosen(rows, scores)


def _find_scale(candidates: Candidates) -> np.ndarray:
    """Return by what features less their mean are multiplied for unit length, float32 (N,).

    It is 0 for those that are the mean. With it, a pass over the features is one product.
    """
    scale = np.zeros(len(candidates), np.float32)
    for part, block in candidates.blocks():
        centred = candidates.values[part] - candidates.directions.mean
        scale[part] = np.einsum("ij,ij->i", block, block) > 0.5
        scale[part] /= np.maximum(np.linalg.norm(centred, axis=1), np.finfo(np.float32).tiny)
    return scale


def _distances(candidates: Candidates, scale: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return squared distances of all directions to a vector, float32 (N,)."""
    products = (candidates.values @ centre - candidates.directions.mean @ centre) * scale
    return np.asarray(np.maximum((scale > 0) + centre @ centre - 2 * products, 0))


def _find_middle(candidates: Candidates) -> np.ndarray:
    sums = sum(block.sum(axis=0, dtype=np.float64) for _, block in candidates.blocks())
    return np.asarray(sums / len(candidates), np.float32)


diverse = DiverseStrategy()
