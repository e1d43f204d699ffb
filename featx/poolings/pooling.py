"""What a pooling is, the poolings there are, and applying one by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from featx.checks.texts import check_choice
from featx.errors import AddOnError, DimensionMismatch
from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np


class Pooling(Protocol):
    """Reduces feature maps, one image at a time: no image's result depends on another.

    Everything between the first and the last axis counts as space: a pooling is given
    (B, h, w, C) maps and (B, tokens, C) sequences alike. It is never given vectors, (B, C),
    which every pooling leaves as they are.
    """

    @property
    def gives_vectors(self) -> bool:
        """Whether a row becomes one vector: heads and indexes read with no other poolings."""
        ...

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one row after pooling.

        Args:
            shape: Shape of one row of maps, (..., C), with two axes or more.
        """
        ...

    def pool(self, maps: np.ndarray) -> np.ndarray:
        """Return pooled maps, float32 (B, *shape).

        Args:
            maps: float32 or float16, (B, ..., C), with three axes or more. B may be 0.
        """
        ...


POOLINGS: Registry[Pooling] = Registry(
    "pooling",
    "featx.poolings",
    {
        "none": "featx.poolings.whole:unpooled",
        "avg": "featx.poolings.spatial:average",
        "max": "featx.poolings.spatial:maximum",
        "gem": "featx.poolings.spatial:generalized_mean",
        "flatten": "featx.poolings.whole:flattened",
    },
    Pooling,
)


def vector_poolings() -> tuple[str, ...]:
    """Return the poolings that make vectors of maps: what heads and indexes can read with.

    An add-on that cannot be imported is among them: naming it shows the error.

    Example:
        >>> vector_poolings()
        ('avg', 'max', 'gem', 'flatten')
    """
    return tuple(name for name in POOLINGS if _gives_vectors(name))


def check_vector_pool(what: str, pool: str) -> None:
    """Refuse a pooling that does not make vectors.

    Args:
        what: What an error calls it, for example ``"pooling of a head"``.
        pool: The pooling's name.

    Raises:
        UnknownName: If there is no such pooling, or it keeps maps.
    """
    if pool not in POOLINGS or not POOLINGS[pool].gives_vectors:
        check_choice(what, pool, vector_poolings())


def pool_features(values: np.ndarray, pool: str) -> np.ndarray:
    """Reduce feature maps to what a store, a head or an index keeps.

    ``avg`` is what `GlobalAveragePooling2D` computes, so pooling the last map of a network
    with a global-average head reproduces that layer.

    Args:
        values: Shape (B, ..., C).
        pool: ``none`` keeps the shape; ``flatten`` gives (B, D) with everything;
            ``avg``, ``max`` and ``gem`` (generalised mean, exponent 3) give (B, C). Add-ons
            bring further ones.

    Returns:
        float32 array. Input of shape (B, C) counts as already pooled and is only cast.

    Raises:
        UnknownName: If there is no pooling of that name.
        DimensionMismatch: If `values` has no batch axis and feature axis.

    Example:
        >>> import numpy as np
        >>> pool_features(np.ones((2, 7, 7, 3), np.float16), "avg").shape
        (2, 3)
    """
    pooling = POOLINGS[pool]
    if values.ndim < 2:
        raise DimensionMismatch(
            "Pooling needs arrays of shape (B, ..., C): a batch axis and a feature axis. "
            f"Received: shape={values.shape}."
        )
    if values.ndim == 2:
        return values.astype("float32", copy=False)
    return pooling.pool(values)


def pooled_shape(shape: tuple[int, ...], pool: str) -> tuple[int, ...]:
    """Return the shape of one row after pooling rows of `shape`.

    Raises:
        UnknownName: If there is no pooling of that name.

    Example:
        >>> pooled_shape((7, 7, 512), "avg"), pooled_shape((7, 7, 512), "flatten")
        ((512,), (25088,))
    """
    pooling = POOLINGS[pool]
    return shape if len(shape) == 1 else pooling.shape_of(shape)


def _gives_vectors(name: str) -> bool:
    try:
        return POOLINGS[name].gives_vectors
    except AddOnError:
        return True
