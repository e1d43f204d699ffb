"""Neighbours of the images of a store, by comparison or by an index, and how many are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from featx.errors import FingerprintMismatch, InvalidValue
from featx.events import Listener
from featx.images.sources.keys import natural_key
from featx.index.options import IndexOptions
from featx.index.projection import fit_projection, normalize_rows
from featx.index.retrieval_report import ClassRetrieval, RetrievalTrial
from featx.index.vector_index import VectorIndex
from featx.specs import DEFAULT_READ_POOLING
from featx.store import FeatureStore
from featx.units import format_count
from featx.wording import command

MAX_QUERIES = 5_000
"""Images that are asked for, drawn from all over the store: with more, a mean changes little, and
time grows with their number times that of all."""

BLOCK = 256
"""Queries that are compared at a time."""


@dataclass(frozen=True, slots=True)
class RetrievalTask:
    """Which rows are asked for, and what is right.

    Attributes:
        rows: Rows with a class, (M,).
        labels: Their class numbers, (M,).
        contents: Numbers of their contents, (M,): identical files have the same.
        queries: Places in `rows` that are asked for.
        names: The classes.
        single: How many have no other file of their class.
        k: How many neighbours are looked at.
    """

    rows: np.ndarray
    labels: np.ndarray
    contents: np.ndarray
    queries: np.ndarray
    names: tuple[str, ...]
    single: int
    k: int

    @classmethod
    def of(cls, store: FeatureStore, k: int) -> RetrievalTask:
        """Return what is asked of a store, and refuse one without two images of a class."""
        names = sorted({label for label in store.labels if label is not None}, key=natural_key)
        numbers = {name: number for number, name in enumerate(names)}
        rows = np.array([r for r, label in enumerate(store.labels) if label is not None], np.int64)
        labels = np.array([numbers[label] for label in store.labels if label is not None], np.int64)
        hashes = np.ascontiguousarray(store.content_hash[rows]).view("V16").ravel()
        contents = np.unique(hashes, return_inverse=True)[1].ravel()
        pairs = np.stack([labels, contents], axis=1) if len(rows) else np.zeros((0, 2), np.int64)
        of_class = np.bincount(labels, minlength=len(names))
        _, same, alike = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        others = of_class[labels] - alike[same.ravel()] if len(rows) else np.zeros(0, np.int64)
        able = np.flatnonzero(others > 0)
        if not len(able):
            raise InvalidValue(
                f"Retrieval is measured by classes, of which {str(store.path)!r} has no two "
                "images. Extract from class folders, or with a manifest that has labels."
            )
        if len(able) > MAX_QUERIES:
            able = able[np.linspace(0, len(able) - 1, MAX_QUERIES).astype(np.int64)]
        single = int((others == 0).sum())
        return cls(rows, labels, contents, able, tuple(names), single, k)


def compare_projections(
    store: FeatureStore,
    feature: tuple[str, str],
    components: Sequence[int],
    task: RetrievalTask,
    listener: Listener,
) -> Iterator[RetrievalTrial]:
    """Compare a layer with its pooling as it is stored, and each number of its components."""
    spec = store.vector_spec(*feature)
    read = store.vectors(*feature, task.rows)
    vectors = normalize_rows(read.reshape(len(task.rows), -1))
    yield _compare_all(vectors, task, (spec.name, spec.pool, ""))
    for pca in components:
        if pca > min(vectors.shape):
            most = format_count(min(vectors.shape), "principal component")
            listener.note(f"{spec.name}: not compared with PCA {pca}: there are {most}")
            continue
        for whiten in (False, True):
            projection = fit_projection(vectors, IndexOptions(pca=pca, whiten=whiten))
            name = f"PCA {pca}{', whitened' if whiten else ''}"
            yield _compare_all(projection.project(vectors), task, (spec.name, spec.pool, name))


def _compare_all(
    vectors: np.ndarray, task: RetrievalTask, names: tuple[str, str, str]
) -> RetrievalTrial:
    """Compare all queries with all images.

    Args:
        vectors: float32 (M, P) of unit length.
        task: What is asked and what is right.
        names: Layer, pooling and projection.
    """
    found = np.zeros((len(task.queries), task.k), np.float64)
    relevant = np.zeros(len(task.queries))
    precisions = np.zeros(len(task.queries))
    for start in range(0, len(task.queries), BLOCK):
        block = task.queries[start : start + BLOCK]
        scores = vectors[block] @ vectors.T
        is_own = task.contents[block, np.newaxis] == task.contents
        scores[is_own] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        right = task.labels[order] == task.labels[block, np.newaxis]
        right &= ~np.take_along_axis(is_own, order, axis=1)
        lines = slice(start, start + len(block))
        relevant[lines] = right.sum(axis=1)
        found[lines, : right.shape[1]] = right[:, : task.k]
        hits = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
        precisions[lines] = (hits * right).sum(axis=1) / relevant[lines]
    return _summarize(found, relevant, precisions, task, (*names, vectors.shape[1]))


def measure_index(index: VectorIndex, store: FeatureStore, task: RetrievalTask) -> RetrievalTrial:
    """Let an index find the neighbours."""
    description = index.description
    if description.store.contents != store.contents:
        raise FingerprintMismatch(
            f"The index {str(index.path)!r} does not belong to {str(store.path)!r}.",
            [("contents", store.contents[:12], description.store.contents[:12])],
            remedy=f"Build one from this store: {command('index', output='OTHER.faiss')}.",
        )
    feature = description.feature
    pool = DEFAULT_READ_POOLING if feature.pool == "none" else feature.pool
    place = np.full(len(store), -1, np.int64)
    place[task.rows] = np.arange(len(task.rows))
    most_alike = int(np.bincount(task.contents).max())
    allowed = place >= 0
    count = min(len(task.rows), task.k + most_alike)
    found = np.zeros((len(task.queries), task.k), np.float64)
    relevant = np.zeros(len(task.queries))
    for start in range(0, len(task.queries), BLOCK):
        block = task.queries[start : start + BLOCK]
        queries = store.vectors(feature.name, pool, task.rows[block]).reshape(len(block), -1)
        rows = index.find(queries, count, allowed).rows
        for line, (query, ranked) in enumerate(zip(block, rows, strict=True), start):
            places = place[ranked[ranked >= 0]]
            places = places[task.contents[places] != task.contents[query]][: task.k]
            found[line, : len(places)] = task.labels[places] == task.labels[query]
            is_same = task.labels == task.labels[query]
            relevant[line] = (is_same & (task.contents != task.contents[query])).sum()
    names = (feature.name, feature.pool, index.summary, description.space.width)
    return _summarize(found, relevant, None, task, names)


def _summarize(
    found: np.ndarray,
    relevant: np.ndarray,
    precisions: np.ndarray | None,
    task: RetrievalTask,
    names: tuple[str, str, str, int],
) -> RetrievalTrial:
    """Return the means of the measures of each query.

    Args:
        found: (Q, k): 1 where a neighbour is of the query's class.
        relevant: (Q,): how many images are.
        precisions: (Q,): average precisions.
        task: What was asked.
        names: Layer, pooling, projection, dimension.
    """
    k = task.k
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(relevant, k).astype(np.int64) - 1]
    measures = np.stack(
        [found[:, 0], found.mean(axis=1), found.sum(axis=1) / relevant, found @ discounts / ideal]
    )
    labels = task.labels[task.queries]

    def mean(name: str, chosen: np.ndarray) -> ClassRetrieval:
        nearest, precision, recall, ndcg = measures[:, chosen].mean(axis=1).tolist()
        average = None if precisions is None else float(precisions[chosen].mean())
        return ClassRetrieval(name, len(chosen), nearest, precision, recall, ndcg, average)

    classes = [
        mean(name, chosen)
        for number, name in enumerate(task.names)
        if len(chosen := np.flatnonzero(labels == number))
    ]
    return RetrievalTrial(*names, mean("", np.arange(len(labels))), tuple(classes))
