"""Models that have a name, with their sizes, before anything is loaded."""

from __future__ import annotations

import fnmatch

from featx.models.catalogue_entry import CatalogueEntry
from featx.models.sources import usable_sources


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
