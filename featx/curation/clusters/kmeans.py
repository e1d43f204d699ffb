"""k-means on the features: as many clusters as are asked for."""

from __future__ import annotations

import numpy as np

from featx.curation.clustering import ClusterJob
from featx.index.all_neighbours import BLOCK, Directions
from featx.index.projection import hash_rows

SAMPLE_EACH, SAMPLE_LEAST = 64, 20_000
"""Rows for each centre, and in all, of which centres are found; the others are only assigned."""

ITERATIONS = 50

MOST_DEFAULT = 20
"""Clusters of a set that nobody named a number for."""


class KMeansClustering:
    """scikit-learn's `KMeans` on directions, which is spherical k-means but for the last step."""

    title = "k-means on the features"
    takes_count = True

    def assign(self, job: ClusterJob) -> np.ndarray:
        """Return the cluster of each image."""
        count = job.count or min(MOST_DEFAULT, max(2, round(np.sqrt(len(job.positions) / 2))))
        centres = find_centres(job.directions, count, job.seed)
        return nearest_centres(job.directions, centres)[0]


def find_centres(directions: Directions, count: int, seed: int) -> np.ndarray:
    """Find the centres of clusters; as many as there are different vectors, if these are fewer.

    Args:
        directions: All vectors, (N, D).
        count: Clusters that are wanted.
        seed: For the sample and the start.

    Returns:
        float32 (K, D).

    Example:
        >>> values = np.array([[0, 1], [0, 1.1], [1, 0]], np.float32)
        >>> len(find_centres(Directions(values, np.zeros(2, np.float32)), 5, 0))
        2
    """
    from sklearn.cluster import KMeans

    size = max(SAMPLE_LEAST, SAMPLE_EACH * count)
    order = np.random.default_rng(seed).permutation(len(directions.values))
    sample = directions.take(np.sort(order[:size]))
    different = np.unique(hash_rows(sample), return_index=True)[1]
    if count >= len(different):
        return sample[np.sort(different)]
    means = KMeans(count, n_init=1, max_iter=ITERATIONS, random_state=seed).fit(sample)
    return np.asarray(means.cluster_centers_, np.float32)


def nearest_centres(directions: Directions, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre of each row, int64 (N,), and its squared distance, (N,)."""
    numbers = np.empty(len(directions.values), np.int64)
    distances = np.empty(len(numbers), np.float32)
    lengths = np.einsum("ij,ij->i", centres, centres)
    for start in range(0, len(numbers), BLOCK):
        rows = slice(start, start + BLOCK)
        block = directions.take(rows)
        scores = lengths - 2 * (block @ centres.T)
        numbers[rows] = scores.argmin(axis=1)
        distances[rows] = scores.min(axis=1) + np.einsum("ij,ij->i", block, block)
    return numbers, distances


kmeans = KMeansClustering()
