"""Features along their principal components, from which layouts begin."""

from __future__ import annotations

import numpy as np

from featx.index.all_neighbours import BLOCK, Directions

COMPONENTS = 50
"""Principal components from which t-SNE and UMAP begin, as their authors advise."""

SAMPLE = 5_000
"""Rows in which components are found."""


def reduce_to_components(directions: Directions, count: int, seed: int) -> np.ndarray:
    """Return the values along principal components, float32 (N, at most `count`).

    The components are those of a sample of `SAMPLE` rows; memory is that of the sample, of a block
    and of the result.
    """
    from sklearn.decomposition import PCA

    total = len(directions.values)
    order = np.random.default_rng(seed).permutation(total)
    sample = directions.take(np.sort(order[:SAMPLE]))
    fitted = PCA(min(count, *sample.shape), svd_solver="randomized", random_state=seed)
    with np.errstate(invalid="ignore"):  # Shares of a variance that is 0.
        fitted.fit(sample)
    parts = [
        fitted.transform(directions.take(slice(start, start + BLOCK)))
        for start in range(0, total, BLOCK)
    ]
    return np.asarray(np.concatenate(parts), np.float32)
