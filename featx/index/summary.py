"""What an index is, for `featx index` and `featx info`."""

from __future__ import annotations

from typing import Any

from featx.index.options import IndexOptions
from featx.index.shared_training import IndexTraining
from featx.index.vector_index import VectorIndex


def summarize_index(index: VectorIndex) -> dict[str, Any]:
    """Return what is known of an index as JSON-serialisable values."""
    description = index.description
    options, feature = description.options, description.feature
    return {
        "output": str(index.path),
        "kind": description.kind,
        "factory": options.factory,
        "rows": len(index),
        "dimension": description.space.width,
        "layer": feature.name,
        "pool": feature.pool,
        "metric": options.metric,
        "pca": options.pca,
        "whiten": options.whiten,
        "recall": description.measured.recall,
        "min_recall": None if index.is_exact else options.min_recall,
        "bytes": index.path.stat().st_size,
        "seconds": description.measured.seconds,
        "parameters": dict(description.parameters),
        "model": description.model.to_dict(),
        "store": description.store.path,
    }


def summarize_training(training: IndexTraining) -> dict[str, Any]:
    """Return what is known of a training as JSON-serialisable values."""
    options, feature = training.options, training.feature
    return {
        "output": str(training.path),
        "kind": training.kind,
        "factory": options.factory,
        "dimension": training.space.width,
        "layer": feature.name,
        "pool": feature.pool,
        "metric": options.metric,
        "pca": options.pca,
        "whiten": options.whiten,
        "lists": training.lists,
        "train_for": training.train_for,
        "trained_on": training.trained_on,
        "bytes": training.path.stat().st_size,
        "model": training.model.to_dict(),
    }


def describe_metric(options: IndexOptions) -> str:
    """Return how an index compares vectors, for people.

    Example:
        >>> describe_metric(IndexOptions(pca=8))
        'cosine similarity of 8 principal components'
    """
    components = ""
    if options.pca is not None:
        whitened = " whitened" if options.whiten else ""
        components = f" of {options.pca}{whitened} principal components"
    return f"{METRICS[options.metric]}{components}"


def describe_recall(index: VectorIndex) -> str:
    """Return how much of the nearest an index finds, for people; nothing of an exact one."""
    measured, candidates = index.description.measured, index.candidates
    if index.is_exact:
        return ""
    ranked = f", the best {candidates} ranked by the store's vectors" if candidates else ""
    return f"recall of 10: {measured.recall:.3f}{ranked}"


METRICS = {
    "cosine": "cosine similarity",
    "ip": "inner product",
    "l2": "Euclidean distance",
}
"""Metric → its name for people."""
