"""Whether two networks agree: the lowest cosine between rows of each layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from featx.engines.engines import ComputeType, Network, Results
from featx.engines.graph import NotConvertible
from featx.inference.trial import Trial

SAME_COSINE = 0.9999
"""Two engines in float32 agree where every row of every layer has this cosine: they differ in the
last digits, and OpenVINO reads a few operations in another way than TensorFlow."""

LOWEST_COSINE = 0.999
"""Other precisions are used where every row of every layer keeps this cosine to float32."""


def lowest_cosine(reference: np.ndarray, values: np.ndarray) -> float:
    """Return the lowest cosine between rows of two arrays; see `row_cosines`.

    Example:
        >>> rows = np.eye(2, dtype=np.float32)
        >>> lowest_cosine(rows, 2 * rows), lowest_cosine(rows, rows[::-1])
        (1.0, 0.0)
    """
    return float(row_cosines(reference, values).min(initial=1.0))


def row_cosines(reference: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the cosines between rows of two arrays, (N,); two rows of zeros agree.

    A row with NaN or infinity has the cosine 0.
    """
    first = reference.reshape(len(reference), -1).astype(np.float64)
    second = values.reshape(len(values), -1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # Of infinity, and of infinity and 0.
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
        products = (first * second).sum(axis=1)
        both_zero = ~(first.any(axis=1) | second.any(axis=1))
        cosines = np.where(both_zero, 1.0, products / np.where(lengths > 0, lengths, math.inf))
    return np.nan_to_num(cosines, nan=0.0)


def compare_results(expected: Results, received: Results) -> dict[str, float]:
    """Return the lowest cosine between rows of each layer."""
    return {name: lowest_cosine(expected[name], received[name]) for name in expected}


def check_same(expected: Results, received: Results, reference: str) -> None:
    """Refuse an engine whose results in float32 differ from a reference.

    Args:
        expected: The results of the reference.
        received: The results of the engine.
        reference: Name of the reference, for messages.

    Raises:
        NotConvertible: If a row of a layer has a cosine below `SAME_COSINE`.
    """
    for name, cosine in compare_results(expected, received).items():
        if cosine < SAME_COSINE:
            raise NotConvertible(
                f"its results differ from {reference}'s, cosine {cosine:.5f} at {name!r}"
            )


def check_shapes(trial: Trial, received: Results) -> None:
    """Refuse an engine whose results have other shapes than the backbone states.

    Raises:
        NotConvertible: If it does.
    """
    for layer in trial.backbone.features():
        if layer.name in received and None not in layer.shape:
            shape = received[layer.name].shape
            if shape != (len(trial.pixels), *layer.shape):
                raise NotConvertible(f"it gives {layer.name!r} the shape {shape[1:]}")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How close features are to exact ones in float32.

    Attributes:
        cosines: The lowest cosine of each layer.
        num_images: How many images were compared.
    """

    cosines: dict[str, float]
    num_images: int

    def add(self, cosines: Mapping[str, float], num_images: int) -> Agreement:
        """Return the agreement on these images and `num_images` more."""
        lowest = {name: min(self.cosines[name], cosine) for name, cosine in cosines.items()}
        return Agreement(lowest, self.num_images + num_images)

    @property
    def is_enough(self) -> bool:
        """Whether every row of every layer keeps `LOWEST_COSINE`."""
        return min(self.cosines.values()) >= LOWEST_COSINE


def describe_agreement(agreement: Agreement, precision: ComputeType) -> dict[str, Any]:
    """Return what is recorded of a comparison of a precision with float32."""
    return {
        "compared_precision": precision,
        "compared_images": agreement.num_images,
        "lowest_cosine": {name: round(cosine, 6) for name, cosine in agreement.cosines.items()},
    }


def compare_precisions(
    trial: Trial, exact: tuple[Network, Results], fast: tuple[Network, Results]
) -> Agreement:
    """Compare two precisions on the first images, and while they agree on further ones.

    Args:
        trial: Gives the further images.
        exact: The network in float32, and its results for the first images.
        fast: The other one.
    """
    agreement = Agreement(compare_results(exact[1], fast[1]), len(trial.pixels))
    if not agreement.is_enough:
        return agreement
    images = trial.further()
    size = len(trial.pixels)  # A batch may have no more.
    for start in range(0, len(images), size):
        pixels = np.stack(images[start : start + size])
        compared = compare_results(exact[0](pixels), fast[0](pixels))
        agreement = agreement.add(compared, len(pixels))
        if not agreement.is_enough:
            break
    return agreement
