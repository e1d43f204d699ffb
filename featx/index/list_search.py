"""Many queries at once in inverted lists: each list is decoded once, for all that look into it.

FAISS goes from query to query, and decodes a list anew for each. Where lists are read by several
queries, a product of matrices for each list takes a fraction of that time, and finds the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from featx.index.codes import Coder
from featx.index.container import iter_rows
from featx.index.lists import MappedLists
from featx.index.nearest import FAISS_API
from featx.machine import available_cores
from featx.numeric_threads import one_thread

SHARED = 24
"""Queries that look into a list, on average, from which this is faster (`benchmarks/LOG.md`)."""

FEWEST = 16
"""Queries for each thread, which decodes lists by itself."""

COMPARED = 8 << 20
"""Bytes of vectors that are decoded at a time, and of their scores."""


def suits_lists(coder: Coder, queries: int, probes: int) -> bool:
    """Whether that many queries are answered faster list by list.

    Only inner products are: distances would come out as differences of large numbers. And only
    codes that are decoded to be compared.

    Args:
        coder: The centres and codes.
        queries: Q.
        probes: Lists that each of them looks into.
    """
    is_decoded = coder.recipe.code.startswith(("SQ", "Flat"))
    return is_decoded and coder.space.metric == "ip" and queries * probes >= SHARED * len(coder)


def search_by_list(
    coder: Coder,
    lists: MappedLists,
    asked: tuple[np.ndarray, np.ndarray],
    count: int,
    allowed: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the best vectors.

    Args:
        coder: The centres and codes.
        lists: The lists.
        asked: Rotated queries, float32 (Q, P), and the lists that each of them looks into,
            int64 (Q, n), -1 for none.
        count: Matches for each query.
        allowed: bool (N,): only these rows are found; all when None.

    Returns:
        Inner products and row numbers, both (Q, count) and best first; -1 where there are fewer.

    Raises:
        ValueError: If a list names a row that there is not.
    """

    def search(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        FAISS_API.omp_set_num_threads(1)  # Of this thread.
        part = asked[0][lines], asked[1][lines]
        return _search_part(coder, lists, part, count, allowed)

    threads = min(available_cores(), max(1, len(asked[0]) // FEWEST))
    parts = np.array_split(np.arange(len(asked[0])), threads)
    # Within a product, threads would wait for each other, where cores are busy for long.
    with one_thread(), ThreadPoolExecutor(threads) as pool:
        scores, rows = zip(*pool.map(search, parts), strict=True)
    return np.concatenate(scores), np.concatenate(rows)


def _search_part(
    coder: Coder,
    lists: MappedLists,
    asked: tuple[np.ndarray, np.ndarray],
    count: int,
    allowed: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the best vectors of some of the queries, in one thread."""
    queries, probed = asked
    best = FAISS_API.ResultHeap(len(queries), count, keep_max=True)
    for number, lines in _iter_asking(probed):
        codes, rows = lists.take(number)
        if len(rows) and not 0 <= rows.min() <= rows.max() < coder.space.count:
            raise ValueError("it names rows that there are not")
        if allowed is not None:
            codes, rows = codes[allowed[rows]], rows[allowed[rows]]
        size = 4 * max(queries.shape[1], len(lines))
        for start, stop in iter_rows(len(rows), size, COMPARED):
            vectors = coder.decode_rotated(codes[start:stop], number)
            best.add_result_subset(lines, queries[lines] @ vectors.T, rows[start:stop])
        lists.release(number)
    best.finalize()
    return best.D, best.I


def _iter_asking(probed: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each list that is looked into, and which queries do."""
    order = np.argsort(probed, axis=None, kind="stable")
    numbers, starts = np.unique(probed.reshape(-1)[order], return_index=True)
    lines = np.split(order // probed.shape[1], starts[1:])
    for number, asking in zip(numbers.tolist(), lines, strict=True):
        if number >= 0:
            yield number, asking
