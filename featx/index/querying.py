"""Answers of an index to arrays, keys and images alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.checks.numbers import check_numbers
from featx.errors import UnknownName
from featx.features.embedding import embed_images
from featx.features.query_images import QueryImages, require_images
from featx.features.vectors import holds_numbers, read_vectors
from featx.images.sources import ImageFailure
from featx.index.ready import require_pooling
from featx.index.searching import QueryResult, SearchReport
from featx.index.vector_index import VectorIndex
from featx.options import RunOptions
from featx.store import FeatureStore, FeatureTable


def answer(index: VectorIndex, queries: Any, k: int, threshold: float | None) -> SearchReport:
    """Return the matches of queries; see `VectorIndex.query`."""
    failures: tuple[ImageFailure, ...] = ()
    keys = _list_keys(index, queries)
    if keys:
        found = [index.search_key(key, k, threshold=threshold) for key in keys]
        named = [(key, index.root.location(key)) for key in keys]
    else:
        names, vectors, failures = _read(index, queries)
        found = index.search(vectors, k, threshold=threshold) if len(names) else []
        named = [(name, name) for name in names]
    results = tuple(
        QueryResult(query, path, tuple(matches))
        for (query, path), matches in zip(named, found, strict=True)
    )
    name = index.description.feature.name
    report = SearchReport(results, failures, len(index), name, index.root)
    require_images(report, failures, len(results))
    return report


def _list_keys(index: VectorIndex, queries: Any) -> list[str]:
    """Return queries that are keys of the index, all of them; otherwise nothing."""
    if isinstance(queries, str):
        queries = [queries]
    if hasattr(queries, "tolist") and len(getattr(queries, "shape", ())) == 1:
        queries = queries.tolist()
    if not isinstance(queries, (list, tuple)) or not all(isinstance(q, str) for q in queries):
        return []
    try:
        for query in queries:
            index.row(query)
    except UnknownName:
        return []
    return list(queries)


def _read(
    index: VectorIndex, queries: Any
) -> tuple[Sequence[str], np.ndarray, tuple[ImageFailure, ...]]:
    """Return the names and vectors of queries, and the images that cannot be used."""
    feature, model = index.description.feature, index.description.model
    if isinstance(queries, (FeatureStore, FeatureTable)):
        return queries.keys, read_vectors(queries, model, feature), ()
    if holds_numbers(queries):
        vectors = np.atleast_2d(check_numbers("queries", queries))
        return [str(number) for number in range(len(vectors))], vectors, ()
    require_pooling(index)
    is_one = isinstance(queries, (str, os.PathLike))  # A folder holds several, in natural order.
    query = QueryImages(queries, in_order=not is_one)
    embedded = embed_images(query, model, feature, RunOptions().choose_listener(None))
    return [item.location for item in embedded.items], embedded.values, embedded.failures
