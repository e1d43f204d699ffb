"""Exact search with FAISS in arrays, and what all modules that call FAISS share.

FAISS answers a wrong dimension with an empty AssertionError, pads k > N with -1 and accepts
rows of NaN that it never finds again: callers check all of these beforehand.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from featx.forks import FAISS, has_lost_threads, start_threads
from featx.index.kinds import Space

FAISS_API: Any = faiss
"""FAISS as Python sees it: its stubs describe the C++ below."""


def start_faiss() -> None:
    """Let FAISS compute in several threads, or in one where it would wait for lost ones."""
    if has_lost_threads(FAISS):
        faiss.omp_set_num_threads(1)
    else:
        start_threads(FAISS)


def metric_of(space: Space) -> int:
    """Return FAISS's number of a metric."""
    return int(faiss.METRIC_INNER_PRODUCT if space.metric == "ip" else faiss.METRIC_L2)


def to_scores(distances: np.ndarray, space: Space) -> np.ndarray:
    """Return what FAISS calls distances as scores, of which the larger is better."""
    return distances if space.metric == "ip" else -distances


def find_nearest(
    queries: np.ndarray, vectors: np.ndarray, count: int, space: Space
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and row numbers of the best `count` of some vectors, (Q, count) each."""
    start_faiss()
    distances, rows = faiss.knn(queries, vectors, count, metric=metric_of(space))
    return to_scores(distances, space), rows


def join_best(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best `count` of two times scores and row numbers, best first."""
    scores, rows = (np.concatenate(pair, axis=1) for pair in zip(first, second, strict=True))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)


def select_rows(allowed: np.ndarray | None) -> Any:
    """Return FAISS's form of a choice of rows, None for all."""
    if allowed is None:
        return None
    return FAISS_API.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
