"""The vectors of a store as an index compares them: read in order, chosen ones, a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from featx.events import Listener
from featx.index.options import IndexOptions
from featx.index.projection import PCA_ROWS, Projection, fit_projection, hash_rows
from featx.store import FeatureStore

SEED = 7

LOOKED_AT = 4
"""Times as many rows are looked at as are wanted, where some may have been trained on."""


@dataclass(slots=True)
class StoreVectors:
    """The vectors of a store as an index compares them.

    Attributes:
        store: The open store.
        layer: The layer.
        pool: Pooling of a layer that was stored as maps.
        listener: Receives progress.
        projection: What is done to them.
        hashes: uint64 (N,), of prepared vectors; filled in while all are read.
    """

    store: FeatureStore
    layer: str | None
    pool: str
    listener: Listener = field(default_factory=Listener)
    projection: Projection = field(default_factory=Projection)
    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))

    def prepared(self) -> Iterator[np.ndarray]:
        """Yield vectors before they are projected, in blocks in order."""
        for block in self._stored():
            yield self.projection.prepare(block)

    def _stored(self) -> Iterator[np.ndarray]:
        """Yield vectors as they are stored, (n, D), in blocks in order."""
        for block in self.follow(self.store.iter_vectors(self.layer, self.pool)):
            yield block.reshape(len(block), -1)

    def pick(self, chosen: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Read all vectors once, and return those of some rows before they are projected.

        Args:
            chosen: Row numbers in ascending order, several times.
        """
        width = math.prod(self.store.vector_spec(self.layer, self.pool).shape)
        taken = [np.empty((len(rows), width), np.float32) for rows in chosen]
        start = 0
        for block in self._stored():
            for rows, values in zip(chosen, taken, strict=True):
                low, high = np.searchsorted(rows, [start, start + len(block)])
                values[low:high] = self.projection.prepare(block[rows[low:high] - start])
            start += len(block)
        return taken

    def follow(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass blocks on, and tell the listener how far they are."""
        self.listener.start(len(self.store), "vectors")
        try:
            for block in blocks:
                yield block
                self.listener.advance(len(block))
        finally:
            self.listener.finish()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield vectors in blocks in order, and note their hashes."""
        hashes = []
        for block in self.prepared():
            hashes.append(hash_rows(block))
            yield self.projection.project(block)
        self.hashes = np.concatenate(hashes)

    def take_prepared(self, rows: np.ndarray) -> np.ndarray:
        """Return chosen vectors before they are projected."""
        values = self.store.vectors(self.layer, self.pool, rows)
        return self.projection.prepare(values.reshape(len(rows), math.prod(values.shape[1:])))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return chosen vectors."""
        return self.projection.project(self.take_prepared(rows))


@dataclass(frozen=True, slots=True)
class Sample:
    """Some vectors from all over a store, before they are projected.

    Attributes:
        training: float32 (T, D), to train on.
        rows: int64 (Q,): other rows, to measure with,
        queries: float32 (Q, D), and their vectors.
    """

    training: np.ndarray
    rows: np.ndarray
    queries: np.ndarray


def draw_sample(source: StoreVectors, training: int, queries: int) -> Sample:
    """Read all vectors once, and keep some from all over.

    Args:
        source: The vectors.
        training: Most vectors to train on.
        queries: Most vectors to measure with. None of them is trained on, unless all there are
            would be too few.
    """
    count = len(source.store)
    random = np.random.default_rng(SEED)
    order = random.permutation(count)
    num_queries = min(queries, max(1, count // 4))
    rows = np.sort(order[:num_queries])
    trained = np.sort(order[num_queries : num_queries + training])
    if not len(trained):
        trained = rows
    vectors, queried = source.pick([trained, rows])
    return Sample(vectors, rows, queried)


def draw_held_out(source: StoreVectors, queries: int, trained: np.ndarray) -> Sample:
    """Keep some vectors that were not trained on, or any where all were.

    Args:
        source: The vectors.
        queries: Most vectors to measure with.
        trained: uint64 (T,), hashes of what was trained on.
    """
    count = len(source.store)
    # As `draw_sample` draws: of the store that was trained on, those that it left out come first.
    rows = np.random.default_rng(SEED).permutation(count)[: LOOKED_AT * queries]
    vectors = source.take_prepared(rows)
    fresh = np.flatnonzero(~np.isin(hash_rows(vectors), trained))
    chosen = fresh if len(fresh) else np.arange(len(rows))
    chosen = chosen[: min(queries, max(1, count // 4))]
    chosen = chosen[np.argsort(rows[chosen])]
    return Sample(vectors[:0], rows[chosen], vectors[chosen])


def fit_source(source: StoreVectors, options: IndexOptions) -> StoreVectors:
    """Return vectors with the projection that is asked for, fitted on them."""
    source = replace(source, projection=Projection(options.metric == "cosine"))
    if options.pca is None:
        return source
    sample = draw_sample(source, PCA_ROWS, 0)
    return replace(source, projection=fit_projection(sample.training, options))
