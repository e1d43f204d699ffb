"""The order of matches that a compressed index gives: by the store's own vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from featx.errors import StoreError
from featx.index.description import IndexDescription
from featx.index.projection import Projection, SelfFinder
from featx.index.source import StoreVectors
from featx.specs import DEFAULT_READ_POOLING
from featx.store import FeatureStore, open_store


class Found(NamedTuple):
    """Matches of Q queries.

    Attributes:
        scores: float32 (Q, C), the larger the better.
        rows: int64 (Q, C); -1 where there is none.
    """

    scores: np.ndarray
    rows: np.ndarray


class StoreReader:
    """Reads vectors from the store of an index, if it is here and as it was then.

    Args:
        description: The index.
        folder: The folder of the index.
        projection: What is done to features.
        selves: Returns the hashes of vectors in the index; None if it has none.
    """

    def __init__(
        self,
        description: IndexDescription,
        folder: Path,
        projection: Projection,
        selves: Callable[[], SelfFinder] | None,
    ) -> None:
        self._description, self._projection = description, projection
        self._selves = selves
        self._path = description.store.find(folder)

    @property
    def is_here(self) -> bool:
        """Whether vectors can be read."""
        if self._path is None:
            return False
        try:
            with open_store(self._path) as store:
                return store.contents == self._description.store.contents
        except StoreError:
            return False

    def project(self, prepared: np.ndarray) -> np.ndarray:
        """Return what is compared of vectors that were read."""
        return self._projection.project(prepared)

    def take_prepared(self, rows: np.ndarray) -> np.ndarray | None:
        """Return vectors before they are projected, float32 (n, D); None if they are not here."""
        if self._path is None:
            return None
        feature = self._description.feature
        pool = DEFAULT_READ_POOLING if feature.pool == "none" else feature.pool
        try:
            with open_store(self._path) as store:
                if store.contents != self._description.store.contents:
                    return None
                prepared = self._read_single_rows(store, rows)
                if prepared is not None:
                    return prepared
                source = StoreVectors(store, feature.name, pool, projection=self._projection)
                return source.take_prepared(rows)
        except StoreError:  # Damaged, or replaced while it was read.
            return None

    def _read_single_rows(self, store: FeatureStore, rows: np.ndarray) -> np.ndarray | None:
        """Return prepared vectors that were compared with their hashes; None if they differ."""
        feature = self._description.feature
        is_pooled = store.spec(feature.name).shape != feature.shape  # When it is read.
        if self._selves is None or is_pooled:
            return None
        values = store.vectors_unchecked(feature.name, rows)
        if values is None:
            return None
        prepared = self._projection.prepare(values.reshape(len(rows), math.prod(feature.shape)))
        return prepared if self._selves().are_rows(prepared, rows) else None


def rank_exactly(reader: StoreReader, queries: np.ndarray, found: Found, metric: str) -> Found:
    """Return matches with the scores of the store's vectors, and in their order.

    Args:
        reader: The store.
        queries: float32 (Q, P), projected.
        found: Candidates; they are returned as they are where the store is not here.
        metric: ``ip`` or ``l2``.
    """
    rows = np.unique(found.rows[found.rows >= 0])
    prepared = reader.take_prepared(rows) if len(rows) else None
    if prepared is None:
        return found
    vectors = reader.project(prepared)
    places = np.searchsorted(rows, np.maximum(found.rows, rows[0]))
    scores = np.empty_like(found.scores)
    for line, place in enumerate(places):
        candidates = vectors[place]
        if metric == "ip":
            scores[line] = candidates @ queries[line]
        else:
            scores[line] = -((candidates - queries[line]) ** 2).sum(axis=1)
    scores[found.rows < 0] = -np.inf
    return sort_found(Found(scores, found.rows))


def sort_found(found: Found) -> Found:
    """Return matches with the best first; those that score the same stay in their order."""
    order = np.argsort(-found.scores, axis=1, kind="stable")
    return Found(*(np.take_along_axis(part, order, axis=1) for part in found))


def put_selves_first(found: Found, selves: list[np.ndarray], own: np.ndarray) -> Found:
    """Return matches in which rows that equal their query have its score with itself.

    Args:
        found: Matches, which compression may have put before them.
        selves: For each query the rows that equal it.
        own: float32 (Q,): its score with itself.
    """
    count = found.rows.shape[1]
    scores, rows = found.scores.copy(), found.rows.copy()
    for line in [line for line, same in enumerate(selves) if len(same)]:
        same = selves[line][:count]
        others = np.flatnonzero(~np.isin(rows[line], same))[: count - len(same)]
        mine = np.full(len(same), own[line], np.float32)
        new_rows = np.concatenate([same, found.rows[line][others]])
        new_scores = np.concatenate([mine, found.scores[line][others]])
        rows[line, : len(new_rows)], rows[line, len(new_rows) :] = new_rows, -1
        scores[line, : len(new_rows)], scores[line, len(new_rows) :] = new_scores, -np.inf
    return sort_found(Found(scores, rows))
