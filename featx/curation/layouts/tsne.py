"""t-SNE of scikit-learn (van der Maaten and Hinton, 2008)."""

from __future__ import annotations

import numpy as np

from featx.curation.components import COMPONENTS, reduce_to_components
from featx.index.all_neighbours import Directions

FEWEST, MOST = 5, 10_000
"""Images for which it is meaningful, and for which it takes less than a minute or so."""

PERPLEXITY = 30.0
"""scikit-learn's own; a third of the images where these are few."""


class TsneLayout:
    """Neighbours stay neighbours; distances between clusters mean little."""

    title = "t-SNE"

    def unsuited(self, count: int) -> str | None:
        """Return that there are too few images."""
        return None if count >= FEWEST else f"needs at least {FEWEST} images"

    def is_slow(self, count: int) -> bool:
        """Whether there are more than `MOST`."""
        return count > MOST

    def place(self, directions: Directions, seed: int) -> np.ndarray:
        """Return the layout, begun from principal components."""
        from sklearn.manifold import TSNE

        values = reduce_to_components(directions, COMPONENTS, seed)
        is_flat = values.shape[1] < 2 or not values.std(axis=0)[:2].all()
        method = TSNE(
            perplexity=min(PERPLEXITY, (len(values) - 1) / 3),
            init="random" if is_flat else "pca",
            random_state=seed,
        )
        return np.asarray(method.fit_transform(values), np.float32)


tsne = TsneLayout()
