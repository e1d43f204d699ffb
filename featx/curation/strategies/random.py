"""Any pictures: what other strategies are compared with."""

from __future__ import annotations

import numpy as np

from featx.curation.strategy import Candidates, Chosen


class RandomStrategy:
    """A sample without replacement, each picture with the same probability."""

    title = "any pictures, by chance"
    score = "none"
    uses_head = False

    def unsuited(self, candidates: Candidates) -> str | None:
        """Return None: any pictures will do."""
        return None

    def choose(self, candidates: Candidates, count: int) -> Chosen:
        """Choose by the seed."""
        order = np.random.default_rng(candidates.seed).permutation(len(candidates))
        return Chosen(order[:count], np.full(count, np.nan))


random = RandomStrategy()
