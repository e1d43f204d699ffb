"""The two directions in which images differ most."""

from __future__ import annotations

import numpy as np

from featx.curation.components import reduce_to_components
from featx.index.all_neighbours import Directions


class PcaLayout:
    """Principal components: fast, for any number of images, but most of what differs is lost."""

    title = "PCA"

    def unsuited(self, count: int) -> str | None:
        """Return None: it suits any number."""
        return None

    def is_slow(self, count: int) -> bool:
        """Return False."""
        return False

    def place(self, directions: Directions, seed: int) -> np.ndarray:
        """Return the first two components; 0 where there is none."""
        values = reduce_to_components(directions, 2, seed)
        return np.pad(values, ((0, 0), (0, 2 - values.shape[1])))


pca = PcaLayout()
