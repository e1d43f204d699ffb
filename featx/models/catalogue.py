"""Models that have a name, with their sizes, before anything is loaded."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from featx.models.builtin import Measurement
from featx.models.sources import usable_sources


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


def list_models(pattern: str | None = None) -> list[CatalogueEntry]:
    """List the models of all sources that have a name.

    Args:
        pattern: A glob over references or bare names, in any case; None for all.

    Example:
        >>> [entry.reference for entry in list_models("*v3*")][:2]
        ['keras:InceptionV3', 'keras:MobileNetV3Large']
    """
    entries = [entry for _, source in usable_sources() for entry in source.list_models()]
    if pattern is None:
        return entries
    wanted = pattern.casefold()
    return [
        entry
        for entry in entries
        if fnmatch.fnmatchcase(entry.reference.casefold(), wanted)
        or fnmatch.fnmatchcase(entry.reference.partition(":")[2].casefold(), wanted)
    ]
