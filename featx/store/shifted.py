"""Rows of HEIC pictures that earlier versions of featx computed from shifted pixels.

For fast decoding they asked every decoder for a smaller size. pillow-heif 1.8 and later then gives
the thumbnail inside the file, whose size is no fraction of the picture's (cosines of 0.91 to 0.99
to the picture's own features). Runs recorded since then name their decoders. Of the others, HEIC
pictures that were decoded fast are in doubt: an extraction computes them again, and records in
those runs which keys are still in doubt, because their images were not there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from featx.images.reduced import SMOOTH
from featx.store.reader import FeatureStore

HEIF_SUFFIXES = (".heic", ".heif", ".hif")
"""Endings of keys in doubt: a store does not record formats."""

DECODERS = "decoders"
"""Entry of a run: the versions of what decoded its pictures. Runs of earlier versions have none."""

MARK = "shifted"
"""Entry of a run of an earlier version: the keys still in doubt."""


def find_shifted(source: FeatureStore) -> frozenset[str]:
    """Return the keys of a store or part whose rows may be those of shifted pixels.

    Where runs say nothing, these are HEIC pictures by their ending, and whatever has the same
    content.
    """
    input = source.header.model.input
    runs = [run for run in source.header.runs if DECODERS not in run and run.get("computed")]
    if not runs or input.decode != "fast" or input.interpolation not in SMOOTH:
        return frozenset()
    if all(MARK in run for run in runs):
        return frozenset(key for run in runs for key in run[MARK])
    pairs = [
        (key, content)
        for rows in (source, source.copies)
        for key, content in zip(rows.keys, map(bytes, rows.content_hash), strict=True)
    ]
    contents = {content for key, content in pairs if key.lower().endswith(HEIF_SUFFIXES)}
    return frozenset(key for key, content in pairs if content in contents)


def find_shifted_keys(sources: Sequence[FeatureStore]) -> set[str]:
    """Return the keys whose newest row may be that of shifted pixels.

    Args:
        sources: Open stores and parts, oldest first.
    """
    keys: set[str] = set()
    for source in sources:
        shifted = find_shifted(source)
        if keys:
            keys.difference_update(source.keys, source.copies.keys)
        keys |= shifted
    return keys


def mark_run(run: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return the record of a run with the keys that are still in doubt."""
    return dict(run) if DECODERS in run else {**run, MARK: sorted(keys)}


def find_corrected(store: FeatureStore) -> frozenset[str]:
    """Return the keys whose rows may be others than when something was made from the store."""
    if not any(MARK in run for run in store.header.runs):
        return frozenset()
    return frozenset(key for key in store.keys if key.lower().endswith(HEIF_SUFFIXES))
