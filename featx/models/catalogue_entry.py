"""Entries of the catalogue: models that have a name, their sizes, measurements of features."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """How good the features of an extractor are on photographs that it was not trained on.

    Attributes:
        extractor: The model that computed the features.
        dataset: The photographs.
        nearest: Share of photographs whose nearest neighbour has their class.
        precision_at_10: Share of the ten nearest that have it.
        mean_average_precision: Over all others, ranked.
        linear: Accuracy of a linear head fitted on the training part of the dataset.
    """

    extractor: str
    dataset: str
    nearest: float
    precision_at_10: float
    mean_average_precision: float
    linear: float


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model that can be named.

    Attributes:
        reference: What ``-m`` takes.
        size: Height and width of its input, in pixels.
        parameters: Number of weights, in millions.
        width: Values of its feature vector.
        megabytes: Size of its weights.
        on_disk: Whether the weights are on this disk, so that nothing has to be downloaded.
        location: Where they are, or would be.
        measurements: Measurements of its features; only the built-in has them.
        is_built_in: Whether featx itself brings the weights.
    """

    reference: str
    size: int
    parameters: float
    width: int
    megabytes: float
    on_disk: bool
    location: str
    measurements: tuple[Measurement, ...] = ()
    is_built_in: bool = False
