"""A vector index with the keys and the identity of what is in it.

On the disk it is one file, ``features.faiss``; see `featx.index.container`. The file of a ``flat``
index is one that FAISS reads, with more behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx.arguments import plain_method
from featx.checks.numbers import (
    check_count,
    check_number,
    check_numbers,
    check_rows,
    check_whole_number,
)
from featx.checks.texts import check_key
from featx.errors import (
    DimensionMismatch,
    InvalidType,
    InvalidValue,
    UnknownName,
)
from featx.images.roots import Root
from featx.index.container import Arrays
from featx.index.description import IndexDescription
from featx.index.index_vectors import IndexVectors
from featx.index.kinds import VectorSearch
from featx.index.matches import Match
from featx.index.names import Texts
from featx.index.options import Metric
from featx.index.ranking import Found
from featx.index.scores import check_threshold, is_wanted, show_scores
from featx.shown import Shown
from featx.specs import DEFAULT_K

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from featx.features.vectors import HasVectors
    from featx.index.searching import SearchReport


class VectorIndex(Shown):
    """An index over the images of a store, open for searching.

    Attributes:
        description: Keys, labels, feature, model, kind.
        path: The file.
        arrays: The arrays of its kind, by name.
    """

    def __init__(
        self,
        search: VectorSearch,
        description: IndexDescription,
        path: Path,
        arrays: Arrays | None = None,
    ) -> None:
        self._vectors = IndexVectors(search, description, path, arrays or {})
        self.description = description
        self.path = path
        self.arrays: Arrays = arrays or {}

    def __len__(self) -> int:
        return len(self.description.keys)

    def __contains__(self, key: object) -> bool:
        return key in self.description.keys

    @property
    def summary(self) -> str:
        """How it searches, in a few words, for example ``"exact"``."""
        return self._vectors.search.summary

    @property
    def width(self) -> int:
        """D of the vectors that are compared."""
        return self.description.space.width

    @property
    def is_exact(self) -> bool:
        """Whether it always finds the best."""
        return self._vectors.is_exact

    @property
    def candidates(self) -> int:
        """How many are ranked by the store's own vectors for 10 matches; 0 for none."""
        return self._vectors.candidates

    def ranks_exactly(self) -> bool:
        """Whether matches are in the order of exact vectors: those of its own, or the store's."""
        return self._vectors.ranks_exactly()

    @property
    def root(self) -> Root:
        """What keys are relative to, also after it was moved together with the index."""
        description = self.description
        folder = self.path.absolute().parent
        return description.root.relocate(description.root_relative, folder, description.keys[0])

    @plain_method(k=check_count, threshold=check_number)
    def search(
        self, queries: ArrayLike, k: int = DEFAULT_K, *, threshold: float | None = None
    ) -> list[list[Match]]:
        """Find the vectors most similar to each query.

        Args:
            queries: Feature vectors, an array or lists of shape (Q, D), not necessarily normalised.
            k: The most matches for each query; all N when k is larger.
            threshold: Leave out matches with a lower similarity, or a larger distance.

        Returns:
            For each query its matches, best first. In a cosine index, a query of zeros scores 0
            with all. An image whose vector is the query comes first.

        Raises:
            DimensionMismatch: If D is not the index's.
            InvalidType: If these are no numbers.
            InvalidValue: If k is less than 1, no score can reach the threshold, or a query holds
                NaN or infinity.
            IndexFileError: If a stored vector does, or what is read of the index is damaged.
        """
        try:
            queries = check_numbers("queries", queries)
        except InvalidType as error:
            raise InvalidType(f"{error} query() takes keys, images and stores, too.") from None
        width = math.prod(self.description.feature.shape)
        if queries.ndim != 2 or queries.shape[1] != width:
            raise DimensionMismatch(
                f"The index holds vectors of {width} values; queries have the shape (Q, {width}). "
                f"Received: shape={queries.shape}. query() takes keys, images and stores, too."
            )
        k = check_whole_number("k", k, least=1)
        check_threshold(threshold, self.metric)
        if not np.isfinite(queries).all():
            raise InvalidValue("A query vector holds NaN or infinity.")
        found, rows = self.find(queries, min(k, len(self)))
        scores = show_scores(found, self.metric)
        root = self.root
        return [
            [
                self.match(rank, int(row), float(score), root)
                for rank, (score, row) in enumerate(zip(line_scores, line_rows, strict=True), 1)
                if row >= 0 and is_wanted(float(score), threshold, self.metric)
            ]
            for line_scores, line_rows in zip(scores, rows, strict=True)
        ]

    def find(self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None) -> Found:
        """Find rows: `search` without names, and what it is made of.

        Args:
            queries: (Q, D) features without NaN.
            count: Matches for each, from 1 to N.
            allowed: bool (N,): only these rows are found; all when None.

        Returns:
            Scores, float32, of which the larger is better (a squared distance has its sign
            turned), and row numbers, both (Q, count) and best first. Where fewer are found, the
            rest of the rows is -1.

        Raises:
            IndexFileError: If a stored vector is NaN, or what is read of the index is damaged.
        """
        prepared = self._vectors.projection.prepare(queries)
        return self.find_projected(
            self._vectors.projection.project(prepared), prepared, count, allowed
        )

    def find_projected(
        self,
        projected: np.ndarray,
        prepared: np.ndarray | None,
        count: int,
        allowed: np.ndarray | None = None,
    ) -> Found:
        """Find rows, see `find`; `prepared` are the queries before projection, if known."""
        return self._vectors.find(projected, prepared, count, allowed)

    def find_contents(self, content_hash: np.ndarray) -> np.ndarray:
        """Return a row of each content hash, uint8 (n, 16), as int64 (n,); -1 for unknown ones."""
        known, wanted = self.content_hash(), np.ascontiguousarray(content_hash)
        rows = np.flatnonzero(np.isin(_begin(known), _begin(wanted)))
        found = {known[row].tobytes(): row for row in rows.tolist()}
        return np.array([found.get(one.tobytes(), -1) for one in wanted], np.int64)

    @plain_method(k=check_count, threshold=check_number)
    def query(
        self,
        queries: HasVectors,
        k: int = DEFAULT_K,
        *,
        threshold: float | None = None,
    ) -> SearchReport:
        """Find the images most similar to arrays, stored images, or pictures.

        Args:
            queries: Feature vectors (Q, D) or one of them (D,); keys of images in the index, which
                are left out of their own matches; or images, as for `featx.extract`, whose features
                are computed now. What is a key is taken for one.
            k: The most matches for each query.
            threshold: Leave out matches with a lower cosine similarity.

        Returns:
            The matches, in the order of the queries; ``to_pandas()`` makes a frame of them.

        Raises:
            FingerprintMismatch: If a store holds another feature.
            ImageError: If an image cannot be read.
        """
        from featx.index.querying import answer

        return answer(self, queries, k, threshold)

    def content_hash(self) -> np.ndarray:
        """Return the content hashes, uint8 (N, 16), compared with their checksums."""
        if "content_hash" in self.arrays:
            return self.arrays["content_hash"].all()
        return self.description.content_hash

    def vector_hashes(self) -> np.ndarray:
        """Return the hashes of vectors, uint64 (N,), by row; only of an index that has them."""
        hashes = np.empty(len(self), np.uint64)
        hashes[self.arrays["vector_rows"].all()] = self.arrays["vector_hashes"].all()
        return hashes

    @plain_method(rows=check_rows)
    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return stored vectors, projected and perhaps compressed, float32 (n, D)."""
        return self._vectors.search.vectors(np.asarray(rows, np.int64))

    @plain_method(key=check_key)
    def row(self, key: str) -> int:
        """Return the row of an image.

        Raises:
            UnknownName: If there is no such key.
        """
        keys = self.description.keys
        row = keys.find(key) if isinstance(keys, Texts) else _find(keys, key)
        if row is None:
            raise UnknownName("image in the index", key, keys)
        return row

    @plain_method(key=check_key, k=check_count, threshold=check_number)
    def search_key(
        self, key: str, k: int = DEFAULT_K, *, threshold: float | None = None
    ) -> list[Match]:
        """Find the images most similar to one that is in the index, without itself.

        Raises:
            UnknownName: If there is no such key.
            InvalidValue: If no score can reach the threshold.
        """
        check_threshold(threshold, self.metric)
        row = self.row(key)
        scores, rows = self._find_like(row, min(k + 1, len(self)))
        root = self.root
        shown = show_scores(scores, self.metric)
        others = [
            (other, score)
            for other, score in zip(rows.tolist(), shown.tolist(), strict=True)
            if other not in (-1, row) and is_wanted(score, threshold, self.metric)
        ]
        return [
            self.match(rank, other, score, root)
            for rank, (other, score) in enumerate(others[:k], 1)
        ]

    def _find_like(self, row: int, count: int) -> Found:
        """Find rows like one row, whose vector comes from the store where it is compressed here."""
        projected, prepared = self.take(np.array([row]))
        found = self.find_projected(projected, prepared, count)
        return Found(found.scores[0], found.rows[0])

    def prepare(self, features: np.ndarray) -> np.ndarray:
        """Return features (n, D) as they are before they are projected, float32."""
        return self._vectors.projection.prepare(features)

    def project(self, prepared: np.ndarray) -> np.ndarray:
        """Return what is compared of prepared features, float32 (n, P)."""
        return self._vectors.projection.project(prepared)

    @plain_method(rows=check_rows)
    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return vectors of rows, (n, P), from the store where they are compressed here.

        Also what they were before they were projected, (n, D), where they came from there.
        """
        return self._vectors.take(rows)

    @plain_method(rows=check_rows)
    def take_features(self, rows: np.ndarray) -> np.ndarray:
        """Return vectors of rows before they are projected, (n, D).

        Raises:
            IndexFileError: If only the store has them, and it is not here or has changed.
        """
        return self._vectors.take_features(rows)

    @property
    def metric(self) -> Metric:
        """How vectors are compared, which says what a score is."""
        return self.description.options.metric

    def match(self, rank: int, row: int, score: float, root: Root) -> Match:
        """Return a row as a match; `root` is that of the index."""
        key = self.description.keys[row]
        return Match(rank, key, root.location(key), score, self.description.labels[row])

    def verify(self) -> None:
        """Compare every byte with its checksum.

        Raises:
            IndexFileError: If one is not what was written.
        """
        for array in self.arrays.values():
            array.check(0, array.place.num_bytes)


def _find(keys: Sequence[str], key: str) -> int | None:
    return keys.index(key) if key in keys else None


def _begin(hashes: np.ndarray) -> np.ndarray:
    """Return the first half of each hash as a number."""
    return np.ascontiguousarray(hashes[:, :8]).view("<u8")[:, 0]
