"""HDBSCAN on the map: clusters of any form and number, and images of none."""

from __future__ import annotations

import numpy as np

from featx.curation.clustering import ClusterJob

FEWEST = 5
"""Images of the smallest cluster, at least; a two-hundredth of all if that is more."""


class HdbscanClustering:
    """scikit-learn's `HDBSCAN` (Campello, Moulavi and Sander, 2013) on the positions."""

    title = "HDBSCAN on the map"
    takes_count = False

    def assign(self, job: ClusterJob) -> np.ndarray:
        """Return the cluster of each image, -1 for those of none."""
        from sklearn.cluster import HDBSCAN

        total = len(job.positions)
        if total < 2 * FEWEST:
            return np.zeros(total, np.int64)
        smallest = max(FEWEST, total // 200)
        method = HDBSCAN(min_cluster_size=smallest, allow_single_cluster=True, copy=True)
        return np.asarray(method.fit_predict(job.positions.astype(np.float64)), np.int64)


hdbscan = HdbscanClustering()
