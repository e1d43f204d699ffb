"""UMAP of umap-learn (McInnes, Healy and Melville, 2018): an extra, imported when it is used."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from typing import Any

import numpy as np

from featx.curation.components import COMPONENTS, reduce_to_components
from featx.index.all_neighbours import BLOCK, Directions
from featx.index.kinds import Space
from featx.index.nearest import find_nearest

FEWEST = 20
"""Images for which it is meaningful."""

NEIGHBOURS = 15
"""umap-learn's own default."""

APART = 0.4
"""How near to each other images come: umap-learn's 0.1 leaves no room for pictures."""

MOST, AROUND = 100_000, 3
"""Images that UMAP itself places, by chance some where there are more; each of the others comes
between so many of these that it is nearest to. UMAP takes a minute or two for them."""


class UmapLayout:
    """Neighbours stay neighbours, and larger distances mean more than those of t-SNE."""

    title = "UMAP"

    def unsuited(self, count: int) -> str | None:
        """Return that it is not installed, or that there are too few images."""
        if importlib.util.find_spec("umap") is None:
            return "not installed: pip install 'featx[map]'"
        return None if count >= FEWEST else f"needs at least {FEWEST} images"

    def is_slow(self, count: int) -> bool:
        """Return False: any number takes a few minutes."""
        return False

    def place(self, directions: Directions, seed: int) -> np.ndarray:
        """Return the layout, begun from principal components."""
        values = reduce_to_components(directions, COMPONENTS, seed)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(values))[:MOST])
        with warnings.catch_warnings():  # Of its imports, and that a seed means one thread.
            warnings.simplefilter("ignore")
            UMAP = _import_umap()
            method = UMAP(n_neighbors=NEIGHBOURS, min_dist=APART, random_state=seed, init="pca")
            placed = method.fit_transform(values[chosen])
        placed = np.nan_to_num(np.asarray(placed, np.float32))
        return placed if len(chosen) == len(values) else _place_others(values, chosen, placed)


def _place_others(values: np.ndarray, chosen: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Return the positions of all rows, (N, 2), from those of some.

    Args:
        values: All rows, (N, D).
        chosen: Numbers of the rows that are placed, ascending, (n,).
        placed: Their positions, (n, 2).
    """
    positions = np.empty((len(values), 2), np.float32)
    positions[chosen] = placed
    others = np.setdiff1d(np.arange(len(values)), chosen)
    known, space = values[chosen], Space(len(chosen), values.shape[1], "l2")
    for start in range(0, len(others), BLOCK):
        rows = others[start : start + BLOCK]
        scores, near = find_nearest(values[rows], known, AROUND, space)
        weights = 1 / np.maximum(-scores, 1e-12)  # Of squared distances: the nearest counts most.
        weights /= weights.sum(axis=1, keepdims=True)
        positions[rows] = (weights[:, :, None] * placed[near]).sum(axis=1)
    return positions


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
