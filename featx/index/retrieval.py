"""How good features are for search: the class of an image's neighbours. Never runs a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.arguments import check_given_path, plain_arguments
from featx.checks import check_pools, check_several_numbers
from featx.errors import FingerprintMismatch, InvalidValue, join_names
from featx.events import Listener, choose_listener
from featx.heads.layer_choice import find_layers
from featx.images.sources.keys import natural_key
from featx.index.opening import open_index
from featx.index.projection import fit_projection, normalize_rows
from featx.index.vector_index import VectorIndex
from featx.options import IndexOptions
from featx.poolings import check_vector_pool
from featx.shown import Shown
from featx.specs import DEFAULT_K, DEFAULT_READ_POOLING
from featx.store import FeatureStore, open_store
from featx.units import format_count
from featx.wording import command, option

MAX_QUERIES = 5_000
"""Images that are asked for, drawn from all over the store: with more, a mean changes little, and
time grows with their number times that of all."""

BLOCK = 256
"""Queries that are compared at a time."""


@dataclass(frozen=True, slots=True)
class ClassRetrieval:
    """Retrieval measured on the images of one class, or on all.

    Attributes:
        name: The class; ``""`` for all.
        queries: How many images were asked for.
        nearest: Share of them whose nearest neighbour is of their class.
        precision: Share of the k nearest that are of their class.
        recall: Share of their class among the k nearest.
        ndcg: Normalised discounted cumulative gain of the k nearest (Järvelin and Kekäläinen,
            2002).
        average_precision: Mean average precision over all images; None with an index, which does
            not rank all of them.
    """

    name: str
    queries: int
    nearest: float
    precision: float
    recall: float
    ndcg: float
    average_precision: float | None


@dataclass(frozen=True, slots=True)
class RetrievalTrial:
    """One way to compare images, measured.

    Attributes:
        layer: The layer.
        pool: The pooling.
        projection: ``""``, or ``PCA 128``, or ``PCA 128, whitened``.
        dimension: Values of a vector.
        total: The measures on all queries.
        classes: On those of each class.
    """

    layer: str
    pool: str
    projection: str
    dimension: int
    total: ClassRetrieval
    classes: tuple[ClassRetrieval, ...]


@dataclass(frozen=True, slots=True, repr=False)
class RetrievalReport(Shown):
    """What `evaluate_retrieval` measured.

    Attributes:
        trials: In the order of layers and poolings.
        k: How many neighbours were looked at.
        images: Images with a class, among which neighbours are.
        left_out: Images without a class.
        single: Images that were not asked for, since no other file is of their class.
    """

    trials: tuple[RetrievalTrial, ...]
    k: int
    images: int
    left_out: int
    single: int

    @property
    def best(self) -> RetrievalTrial:
        """The trial with the best mean average precision; with an index, the best NDCG."""
        return max(
            self.trials,
            key=lambda trial: (
                trial.total.ndcg
                if trial.total.average_precision is None
                else trial.total.average_precision
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return asdict(self)


@plain_arguments(features=check_given_path, pool=check_pools, pca=check_several_numbers(1))
def evaluate_retrieval(
    features: str | Path,
    *,
    layers: Sequence[str] = (),
    pool: str | Sequence[str] = DEFAULT_READ_POOLING,
    pca: int | Sequence[int] | None = None,
    k: int = DEFAULT_K,
    index: str | Path | None = None,
    listener: Listener | None = None,
) -> RetrievalReport:
    """Measure how often the nearest neighbours of an image are of its class, by cosine similarity.

    Each image of a labelled store is a query among the others; identical files are left out of each
    other's neighbours. Of more than 5,000 images, so many are asked for.

    Args:
        features: The store.
        layers: The layers, by names, places or globs; all when empty.
        pool: Pooling of layers that were stored as maps, or several to be compared.
        pca: Also compare so many principal components, fitted on the store, plain and whitened;
            one number or several. Layers with fewer values are compared without.
        k: How many neighbours are looked at.
        index: Let this index find them, in its layer, instead of comparing all pairs.
        listener: Receives progress.

    Returns:
        The report.

    Raises:
        StoreNotFound: If there is no store.
        UnknownName: If there is no such layer or pooling.
        InvalidValue: If there are no two images of a class, or if an index is given together with
            layers, a pooling or components.
        FingerprintMismatch: If the index is of another store.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(12, classes=("dark", "light"))
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="r.h5")
        >>> evaluate_retrieval("r.h5", k=3).best.total.nearest
        1.0
    """
    listener = choose_listener(listener)
    pools = [pool] if isinstance(pool, str) else list(pool)
    components = [pca] if isinstance(pca, int) else list(pca or ())
    for one in pools:
        check_vector_pool("pooling for retrieval", one)
    if index is not None:
        _check_alone(layers=layers, pool=pools != [DEFAULT_READ_POOLING], pca=components)
    with open_store(features) as store:
        task = _Task.of(store, k)
        if index is not None:
            trials = [_measure_index(open_index(index), store, task)]
        else:
            named = [name for layer in layers for name in find_layers(store, str(layer))]
            chosen = list(dict.fromkeys(named)) or list(store.layers)
            compared = [
                (layer, one)
                for layer in chosen
                for one in (pools if len(store.spec(layer).shape) > 1 else pools[:1])
            ]
            trials = []
            listener.start(len(compared), "layers")
            try:
                for feature in compared:
                    trials += _compare_projections(store, feature, components, task, listener)
                    listener.advance(1)
            finally:
                listener.finish()
        return RetrievalReport(
            tuple(trials), k, len(task.rows), len(store) - len(task.rows), task.single
        )


def _check_alone(**given: object) -> None:
    """Refuse what an index has settled when it was built."""
    named = [option(name) for name, value in given.items() if value]
    if named:
        raise InvalidValue(
            f"{option('index')} compares what it was built of. Take away "
            f"{join_names(named, conjunction='and')}."
        )


@dataclass(frozen=True, slots=True)
class _Task:
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
    def of(cls, store: FeatureStore, k: int) -> _Task:
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


def _compare_projections(
    store: FeatureStore,
    feature: tuple[str, str],
    components: Sequence[int],
    task: _Task,
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


def _compare_all(vectors: np.ndarray, task: _Task, names: tuple[str, str, str]) -> RetrievalTrial:
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


def _measure_index(index: VectorIndex, store: FeatureStore, task: _Task) -> RetrievalTrial:
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
    task: _Task,
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


def describe_images(report: RetrievalReport) -> str:
    """Return what was measured on, in a line."""
    text = (
        f"{format_count(report.best.total.queries, 'image')} asked for among {report.images:,}; "
        "neighbours by cosine similarity, identical files left out"
    )
    if report.left_out:
        text += f"; {format_count(report.left_out, 'image')} without a class"
    if report.single:
        text += f"; {report.single:,} alone in their class"
    return text
