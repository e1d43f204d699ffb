"""What is known of a model that has a name: sizes, and what was measured of its features."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """How good the features of an extractor are on photographs that it was not trained on.

    Attributes:
        extractor: What computed the features.
        dataset: The photographs.
        nearest: Share of photographs whose nearest neighbour has their class.
        precision_at_10: Share of the ten nearest that have it.
        mean_average_precision: Over all others, ranked.
        linear: Accuracy of a linear head fitted on the set's training part.
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
        on_disk: Whether these are here already, so that nothing has to be downloaded.
        location: Where they are, or would be.
        measurements: What was measured of its features; of the built-in alone.
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
