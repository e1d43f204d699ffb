"""Which region of a match is like the query: from the maps in the index's store to pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.errors import ImageError, InvalidValue
from featx.files import hash_content
from featx.images.decode import size_and_turn
from featx.images.orientation import turn_box
from featx.images.placement import Box, Placement, place
from featx.images.sources.locations import LocationReader
from featx.index.own_store import open_own_store
from featx.index.ranking import Found, sort_found
from featx.index.regions import Region, find_region
from featx.index.vector_index import VectorIndex
from featx.poolings import pool_features
from featx.specs import DEFAULT_READ_POOLING, FeatureSpec
from featx.store import FeatureStore
from featx.wording import command, option

MAPS_BYTES = 32 * 2**20
"""Maps in memory at a time."""

COMPARED_ROWS, TOLERANCE = 4, 0.02
"""How many rows of a layer are compared with the means of maps, and how far float16, bfloat16 or
another engine may leave them from each other, relative to their length."""


@dataclass(frozen=True, slots=True)
class Place:
    """A region of a picture.

    Attributes:
        box: Left, top, right and bottom, in pixels of the picture as it is seen.
        size: Width and height of that picture.
    """

    box: Box
    size: tuple[int, int]


class RegionFinder:
    """Finds the regions of matches that are like a query.

    Args:
        index: The index.
        allow_download: Whether pictures at URLs are fetched: their size is needed.

    Attributes:
        missing: Matches without a box: their pictures are not here, or have changed.

    Raises:
        InvalidValue: If its store has no maps from which the vectors of the index are made.
        IndexFileError: If its store is not here, or has changed.
    """

    def __init__(self, index: VectorIndex, *, allow_download: bool = False) -> None:
        self._index = index
        self._reader = LocationReader(allow_download=allow_download)
        self._root = index.root
        self.missing = 0
        with open_own_store(index, "Maps") as store:
            self._layer = _choose_layer(store, index.description.feature)

    def rank(self, query: np.ndarray, vector: np.ndarray, found: Found) -> Found:
        """Return rows in the order in which their best regions are like a query.

        Args:
            query: float32 (C,), not projected.
            vector: float32 (P,), the same, projected.
            found: One line of matches.

        Returns:
            The same rows, with the scores of their regions.
        """
        rows = found.rows[found.rows >= 0]
        pool = self._index.description.feature.pool
        pool = DEFAULT_READ_POOLING if pool == "none" else pool
        pooled = [
            pool_features(region.cut(maps)[np.newaxis], pool)[0]
            for maps, region in self._iter_regions(query, rows)
        ]
        if not pooled:
            return found
        projected = self._index.project(self._index.prepare(np.stack(pooled)))
        if self._index.description.space.metric == "l2":
            scores = -((projected - vector) ** 2).sum(axis=1)
        else:
            scores = projected @ vector
        lines = sort_found(Found(scores[np.newaxis], rows[np.newaxis]))
        return Found(lines.scores[0], lines.rows[0])

    def locate(self, query: np.ndarray, rows: np.ndarray) -> list[Place | None]:
        """Return where rows are like a query; None of pictures that are not here.

        Args:
            query: float32 (C,), not projected.
            rows: int64 (n,).
        """
        places = [self._measure(int(row)) for row in rows]
        pairs = zip(places, self._iter_maps(rows), strict=True)
        return [
            None if measured is None else self._locate(maps, query, *measured)
            for measured, maps in pairs
        ]

    def _iter_regions(
        self, query: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Region]]:
        for maps in self._iter_maps(rows):
            yield maps, find_region(maps, query)

    def _iter_maps(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        with open_own_store(self._index, "Maps") as store:
            values = store.features(self._layer)
            row_bytes = math.prod(values.shape[1:]) * 4
            step = max(1, MAPS_BYTES // row_bytes)
            for start in range(0, len(rows), step):
                yield from values[rows[start : start + step]]

    def _measure(self, row: int) -> tuple[tuple[int, int], int] | None:
        """Return width and height of a picture as the model got it, and how it is still turned."""
        description = self._index.description
        try:
            data = self._reader.read_key(self._root, description.keys[row])
            if hash_content(data) != description.content_hash[row].tobytes():
                raise ImageError("it has changed")
            (height, width), orientation = size_and_turn(data, description.model.input)
        except (OSError, ImageError):
            self.missing += 1
            return None
        return (width, height), orientation

    def _locate(
        self, maps: np.ndarray, query: np.ndarray, size: tuple[int, int], orientation: int
    ) -> Place:
        contract = self._index.description.model.input
        placement = place(size, contract)
        scale = (contract.width, contract.height)
        region = find_region(maps, query, _shown(placement, *scale))
        box = placement.to_picture(*(side * scale[n % 2] for n, side in enumerate(region)))
        seen = size[::-1] if orientation >= 5 else size
        return Place(turn_box(box, size, orientation), seen)


def _shown(placement: Placement, width: int, height: int) -> Region:
    """Return the part of a model's input where the picture is, without what is padded."""
    left, top, right, bottom = placement.inside
    return Region(left / width, top / height, right / width, bottom / height)


def find_maps(store: FeatureStore, feature: FeatureSpec) -> str | None:
    """Return the layer of a store in whose maps the vectors of an index are looked for, if any."""
    for spec in _list_maps(store):
        if (spec.shape[-1],) != feature.shape:
            continue
        if spec.name == feature.name or _has_mean(store, spec.name, feature.name):
            return spec.name
    return None


def _list_maps(store: FeatureStore) -> list[FeatureSpec]:
    return [spec for spec in store.header.features if spec.pool == "none" and len(spec.shape) == 3]


def _choose_layer(store: FeatureStore, feature: FeatureSpec) -> str:
    """Return the layer that `find_maps` finds.

    Raises:
        InvalidValue: If there is none.
    """
    found = find_maps(store, feature)
    if found is not None:
        return found
    maps, name = _list_maps(store), feature.name
    layers = ", ".join(spec.name for spec in maps)
    if any(spec.name == name for spec in maps):
        reason = f"maps of {name!r} with the pooling {feature.pool!r}"
        remedy = f"Build one with {command('index', pool=DEFAULT_READ_POOLING)}"
    elif maps:
        reason = f"{name!r}, of which there are vectors alone"
        remedy = f"The store has maps of {layers}: name one with {option('layer')}"
    else:
        reason = f"{name!r}, of which there are vectors alone"
        made = command("extract", layer="LAYER", pool="none")
        remedy = f"{made} stores maps, of a layer before the pooling"
    raise InvalidValue(
        f"Regions of matches are found in maps; the index compares {reason}. {remedy}."
    )


def _has_mean(store: FeatureStore, maps: str, layer: str) -> bool:
    """Whether the vectors of a layer are the means of another one's maps."""
    rows = np.unique(np.linspace(0, len(store) - 1, COMPARED_ROWS).astype(np.int64))
    if store.spec(layer).shape != (store.spec(maps).shape[-1],):
        return False
    means = pool_features(store.features(maps)[rows], DEFAULT_READ_POOLING)
    vectors = store.features(layer)[rows].astype(np.float32)
    distance = np.linalg.norm(means - vectors, axis=1)
    return bool((distance <= TOLERANCE * np.linalg.norm(means, axis=1)).all())
