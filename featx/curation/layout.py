"""Layouts: where images are on a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from featx.index.all_neighbours import Directions


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
