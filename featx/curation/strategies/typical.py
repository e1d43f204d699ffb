"""Pictures that stand for many: one of each cluster."""

from __future__ import annotations

import numpy as np

from featx.curation.clusters.kmeans import find_centres, nearest_centres
from featx.curation.strategy import Candidates, Chosen


class TypicalStrategy:
    """Of as many k-means clusters as pictures are wanted, the picture nearest to each centre.

    So no kind of picture is chosen twice before every other has been (TypiClust of Hacohen, Dekel
    and Weinshall, 2022, does the same with densities).
    """

    title = "pictures that stand for many others"
    score = "share of the images for which it stands"
    uses_head = False

    def unsuited(self, candidates: Candidates) -> str | None:
        """Return None: any pictures will do."""
        return None

    def choose(self, candidates: Candidates, count: int) -> Chosen:
        """Choose, those that stand for most first."""
        candidates.listener.trying(f"{count:,} clusters")
        centres = find_centres(candidates.directions, count, candidates.seed)
        cluster, distance = nearest_centres(candidates.directions, centres)
        order = np.lexsort((distance, cluster))
        used, first = np.unique(cluster[order], return_index=True)
        rows, sizes = order[first], np.bincount(cluster)[used]
        largest = np.argsort(-sizes, kind="stable")
        rows, sizes = rows[largest][:count], sizes[largest][:count]
        # There are fewer clusters than wanted where many vectors are equal.
        others = order[~np.isin(order, rows)][: count - len(rows)]
        scores = np.concatenate([sizes / len(candidates), np.full(len(others), np.nan)])
        return Chosen(np.concatenate([rows, others]), scores)


typical = TypicalStrategy()
