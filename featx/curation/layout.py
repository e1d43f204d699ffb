"""Layouts: where images are on a map."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from featx.index.all_neighbours import BLOCK, Directions
from featx.registry import Registry

COMPONENTS = 50
"""Principal components from which t-SNE and UMAP begin, as their authors advise."""

SAMPLE = 5_000
"""Rows in which components are found."""


class Layout(Protocol):
    """A way of placing images in two dimensions, so that similar ones are near each other.

    The contract tests in `featx.testing.contracts.maps` say what must hold.

    Attributes:
        title: Its name, as it is written.
    """

    title: str

    def unsuited(self, count: int) -> str | None:
        """Return why it cannot place so many images; None if it can. Imports nothing heavy."""
        ...

    def is_slow(self, count: int) -> bool:
        """Whether it takes minutes for so many, so that it is used only when it is named."""
        ...

    def place(self, directions: Directions, seed: int) -> np.ndarray:
        """Return where the images are, finite, (N, 2)."""
        ...


LAYOUTS: Registry[Layout] = Registry(
    "layout",
    "featx.layouts",
    {
        "tsne": "featx.curation.layouts.tsne:tsne",
        "umap": "featx.curation.layouts.umap:umap",
        "pca": "featx.curation.layouts.pca:pca",
    },
    Layout,
)


def choose_layout(count: int) -> tuple[str, str]:
    """Return the first layout that suits a number of images, and why the others were passed over.

    Example:
        >>> choose_layout(1)[0]
        'pca'
    """
    reasons: list[str] = []
    for name in LAYOUTS.names:
        layout = LAYOUTS[name]
        reason = layout.unsuited(count)
        if reason is None and layout.is_slow(count):
            reason = f"slow for {count:,} images"
        if reason is None:
            return name, "; ".join(reasons)
        reasons.append(f"{layout.title}: {reason}")
    return name, "; ".join(reasons)


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
