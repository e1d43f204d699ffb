"""UMAP of umap-learn (McInnes, Healy and Melville, 2018): an extra, imported when it is used."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from typing import Any

import numpy as np

from featx.curation.components import COMPONENTS, reduce_to_components
from featx.index.all_neighbours import Directions

FEWEST = 20
"""Images for which it is meaningful."""

NEIGHBOURS = 15
"""umap-learn's own default."""

APART = 0.4
"""How near to each other images come: umap-learn's 0.1 leaves no room for pictures."""


class UmapLayout:
    """Neighbours stay neighbours, and larger distances mean more than those of t-SNE."""

    title = "UMAP"

    def unsuited(self, count: int) -> str | None:
        """Return that it is not installed, or that there are too few images."""
        if importlib.util.find_spec("umap") is None:
            return "not installed: pip install 'featx[map]'"
        return None if count >= FEWEST else f"needs at least {FEWEST} images"

    def is_slow(self, count: int) -> bool:
        """Return False: 100,000 images take a minute or two."""
        return False

    def place(self, directions: Directions, seed: int) -> np.ndarray:
        """Return the layout, begun from principal components."""
        with warnings.catch_warnings():  # Of its imports, and that a seed means one thread.
            warnings.simplefilter("ignore")
            UMAP = _import_umap()
            values = reduce_to_components(directions, COMPONENTS, seed)
            method = UMAP(n_neighbors=NEIGHBOURS, min_dist=APART, random_state=seed, init="pca")
            return np.nan_to_num(np.asarray(method.fit_transform(values), np.float32))


def _import_umap() -> Any:
    """Import umap-learn without its parametric part, for which it would import TensorFlow."""
    part = "umap.parametric_umap"
    is_held_back = part not in sys.modules
    if is_held_back:
        sys.modules[part] = None  # type: ignore[assignment]  # Importing it then fails.
    try:
        from umap import UMAP
    finally:
        if is_held_back:
            del sys.modules[part]
    return UMAP


umap = UmapLayout()
