"""Pairs of near-duplicates among the rows of a store, however many and however alike they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featx.curation.threshold import SMALL, Threshold, choose_threshold
from featx.events import Listener
from featx.heads.near_duplicates import (
    compare_pairs,
    find_alike,
    mean_of,
    number_components,
    unique_pairs,
)
from featx.heads.stored_values import leave_mapped, take_rows
from featx.index.all_neighbours import Directions, find_neighbours
from featx.index.projection import hash_rows
from featx.units import format_count

MOST_EXACT = 250_000
"""Images up to which no pair is missed. Above, an index finds the nearest of each."""

NEAREST = 16
"""How many of the nearest are looked at where not all pairs are found."""

MARGIN = 0.01
"""By so much an index may underestimate a similarity."""

CHECKED, FEWEST = 2_000, 20
"""Images with which it is measured how many near-duplicates an index finds; where they have fewer
pairs, the recall of the index is told."""


@dataclass(frozen=True, slots=True, eq=False)
class NearPairs:
    """Pairs of rows that are near-duplicates.

    Attributes:
        rows: Row numbers, the smaller one first, int64 (P, 2).
        first: The first row with the same content or features, of each row, (N,).
        directions: What was compared.
        threshold: From which similarity on.
        recall: Share of the pairs that is found, as measured; None if all are.
    """

    rows: np.ndarray
    first: np.ndarray
    directions: Directions
    threshold: Threshold
    recall: float | None

    def compare(self, row: int, others: np.ndarray) -> np.ndarray:
        """Return the similarity of a row to others, (n,)."""
        pairs = np.stack([np.full(len(others), row), others], axis=1)
        similarity = compare_pairs(self.directions.values, self.directions.mean, pairs)
        similarity[self.first[others] == self.first[row]] = 1  # Also without a direction.
        return np.asarray(np.minimum(similarity, 1))

    def among(self, chosen: np.ndarray) -> np.ndarray:
        """Return the pairs among some of the rows, (P, 2).

        In the place of a row that is not one of them is the first row equal to it that is.

        Args:
            chosen: Which rows, bool (N,).
        """
        rows = np.flatnonzero(chosen)
        stands_for = np.full(len(self.first), -1)
        stands_for[self.first[rows[::-1]]] = rows[::-1]  # The first of them is written last.
        equal = np.stack([stands_for[self.first[rows]], rows], axis=1)
        is_near = self.first[self.rows[:, 0]] != self.first[self.rows[:, 1]]
        near = np.sort(stands_for[self.first[self.rows[is_near]]], axis=1)
        return np.concatenate([equal[equal[:, 0] != equal[:, 1]], near[near[:, 0] >= 0]])

    def compare_pair(self, row: int, other: int) -> float:
        """Return the similarity of two rows."""
        return float(self.compare(row, np.array([other]))[0])


def find_near_pairs(
    values: np.ndarray, copies: np.ndarray, threshold: float | None, listener: Listener
) -> NearPairs:
    """Find the pairs of near-duplicates.

    Rows with the same content, or the very same features, are compared once: each of them makes a
    pair with the first.

    Args:
        values: Features, finite, (N, D).
        copies: Group numbers from 0, (N,): equal for identical contents.
        threshold: Least similarity; chosen on the features when None.
        listener: Receives progress and notes.
    """
    first, same = _find_first(values, copies)
    mean = np.zeros(values.shape[1], np.float32)
    distinct = np.flatnonzero(first == np.arange(len(values)))
    contents = values
    if len(distinct) < len(values):
        contents = take_rows(leave_mapped(values), distinct)
    if len(contents) > SMALL:
        mean = mean_of(contents)
    reduced = Directions(contents, mean)
    listener.trying("how alike different images are")
    chosen = Threshold(threshold, "as asked") if threshold else choose_threshold(reduced)
    found, recall = _find(reduced, chosen.similarity, listener)
    return NearPairs(
        np.concatenate([same, distinct[found]]), first, Directions(values, mean), chosen, recall
    )


def _find_first(values: np.ndarray, copies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first equal row of each, (N,), and the pairs of those that are not the first."""
    step = max(1, (1 << 22) // max(1, values.shape[1]))
    hashes = [hash_rows(values[start : start + step]) for start in range(0, len(values), step)]
    vectors = np.concatenate([np.empty(0, np.uint64), *hashes])
    _, first, number = np.unique(vectors, return_index=True, return_inverse=True)
    first = first[number.reshape(-1)]
    _, content_first, content = np.unique(copies, return_index=True, return_inverse=True)
    # Identical contents have identical features, but for a picture that was computed twice.
    rows = np.arange(len(values))
    links = np.stack([np.tile(rows, 2), np.append(first, content_first[content.reshape(-1)])])
    numbers = number_components(links.T, len(values))
    _, first = np.unique(numbers, return_index=True)
    first = first[numbers]
    others = np.flatnonzero(first != np.arange(len(values)))
    return first, np.stack([first[others], others], axis=1)


def _find(
    directions: Directions, similarity: float, listener: Listener
) -> tuple[np.ndarray, float | None]:
    """Return pairs of distinct rows, (P, 2), and their recall."""
    count = len(directions.values)
    if count < 2 or similarity == 1:  # Identical rows have been found.
        return np.zeros((0, 2), np.int64), None
    listener.trying(f"near-duplicates of {format_count(count, 'image')}")
    if count <= MOST_EXACT:
        alike = find_alike(directions.values, similarity, mean=directions.mean)
        if alike is not None:
            return alike.rows, None
        listener.note(
            f"most images are similar to very many others: only the {NEAREST} nearest of each are "
            "looked at"
        )
    found = find_neighbours(directions, np.arange(count), NEAREST, listener, reach=similarity)
    lines, places = np.nonzero((found.similarity >= similarity - MARGIN) & (found.rows >= 0))
    pairs = unique_pairs(np.stack([lines, found.rows[lines, places]], axis=1), count)
    kept = compare_pairs(directions.values, directions.mean, pairs) >= similarity - 1e-6
    if found.recall is None:
        return pairs[kept], None
    measured = _measure(directions, pairs[kept], similarity)
    return pairs[kept], found.recall if measured is None else measured


def _measure(directions: Directions, pairs: np.ndarray, similarity: float) -> float | None:
    """Return the share of the pairs of some rows that was found, by comparing them with all.

    None where they have too few.
    """
    order = np.random.default_rng(0).permutation(len(directions.values))
    rows = np.sort(order[:CHECKED])
    exact = find_neighbours(directions, rows, NEAREST)
    lines, places = np.nonzero(exact.similarity >= similarity - 1e-6)
    if len(lines) < FEWEST:
        return None
    wanted = np.sort(np.stack([rows[lines], exact.rows[lines, places]], axis=1), axis=1)
    known = set(map(tuple, pairs.tolist()))
    return sum(tuple(pair) in known for pair in wanted.tolist()) / len(wanted)
