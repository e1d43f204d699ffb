"""Kinds of clustering: which images of a map belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from featx.index.all_neighbours import Directions


@dataclass(frozen=True, slots=True, eq=False)
class ClusterJob:
    """N images that are to be clustered.

    Attributes:
        directions: Their features, less the mean, of unit length, (N, D).
        positions: Where they are on the map, float32 (N, 2).
        count: Clusters that were asked for; None leaves it to the kind.
        seed: For whatever is random.
    """

    directions: Directions
    positions: np.ndarray
    count: int | None
    seed: int


class Clustering(Protocol):
    """A kind of clustering.

    The contract tests in `featx.testing.contracts.maps` say what must hold.

    Attributes:
        title: What it does, in some words.
        takes_count: Whether it can be told the number of clusters.
    """

    title: str
    takes_count: bool

    def assign(self, job: ClusterJob) -> np.ndarray:
        """Return the cluster of each image, from 0, int64 (N,); -1 for those of none."""
        ...


CLUSTERINGS: Registry[Clustering] = Registry(
    "clustering",
    "featx.clusterings",
    {
        "kmeans": "featx.curation.clusters.kmeans:kmeans",
        "hdbscan": "featx.curation.clusters.hdbscan:hdbscan",
    },
    Clustering,
)
