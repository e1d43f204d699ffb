"""Poolings over space: one value for each channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

GEM_EXPONENT = 3.0
"""Exponent of generalised-mean pooling: the value that Radenović, Tolias and Chum fix or start
from in "Fine-tuning CNN Image Retrieval with No Human Annotation" (2018), section 3.2."""

GEM_FLOOR = 1e-6
"""Smallest activation that generalised-mean pooling sees (same paper's reference code)."""


class SpatialPooling(ABC):
    """Reduces (B, ..., C) to (B, C)."""

    gives_vectors = True

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (C,)."""
        return shape[-1:]

    def pool(self, maps: np.ndarray) -> np.ndarray:
        """Return float32 (B, C)."""
        space = tuple(range(1, maps.ndim - 1))
        return self.reduce(maps, space).astype("float32", copy=False)

    @abstractmethod
    def reduce(self, maps: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
        """Return (B, C): `maps` reduced over the axes `space`."""


class Average(SpatialPooling):
    """Takes the mean, accumulated in float64.

    float16 would overflow (a sum over 112 x 112 positions can pass 65504), float32 lose digits.
    """

    def reduce(self, maps: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
        """Return the means."""
        means: np.ndarray = maps.mean(axis=space, dtype="float64")
        return means


class Maximum(SpatialPooling):
    """Takes the largest activation."""

    def reduce(self, maps: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
        """Return the maxima."""
        maxima: np.ndarray = maps.max(axis=space)
        return maxima


class GeneralizedMean(SpatialPooling):
    """Takes the cube root of the mean of cubes: between the mean and the maximum."""

    def reduce(self, maps: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
        """Return the generalised means."""
        powers = maps.astype("float32", copy=False).clip(min=GEM_FLOOR) ** GEM_EXPONENT
        means: np.ndarray = powers.mean(axis=space, dtype="float64") ** (1.0 / GEM_EXPONENT)
        return means


average = Average()
maximum = Maximum()
generalized_mean = GeneralizedMean()
