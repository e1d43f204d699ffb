"""Which rows belong together, and must be on one side of every division."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from featx.events import Listener
from featx.heads.near_duplicates import DEFAULT_SIMILARITY, group_alike, join_groups
from featx.units import format_count
from featx.wording import option

MOST_ROWS = 100_000
"""Rows up to which near-duplicates are looked for unasked: half a minute or so."""


LEAST_WIDTH = 16
"""Values of a vector from which near-duplicates are looked for unasked. Two directions are as close
as 0.995 by chance once in 10^3 pairs for 4 values, and once in 10^15 for 16."""


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Pictures that are almost equal, identical files among them.

    Attributes:
        similarity: Least cosine of their features, less the mean of all.
        num_images: Images that have a near-duplicate.
        num_groups: Groups of near-duplicates.
        num_held_out: Held-out images with a near-duplicate among those fitted on. 0 unless the
            split was given: otherwise near-duplicates are on one side.
        accuracy: On all held-out images; None where there are none.
        accuracy_without: On those without a near-duplicate among the images fitted on; None where
            there are none.
    """

    similarity: float
    num_images: int
    num_groups: int
    num_held_out: int = 0
    accuracy: float | None = None
    accuracy_without: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Which of N rows belong together.

    Attributes:
        groups: Group numbers, (N,): equal for identical files, near-duplicates, and rows with the
            same value in a column.
        alike: Group numbers by near-duplicates and identical files alone, (N,).
        fixed: bool (N,): identical files with different labels, which are always fitted on: any
            prediction for them is wrong for some.
        near_duplicates: What was found; None where it was not looked for, or says nothing.
    """

    groups: np.ndarray
    alike: np.ndarray
    fixed: np.ndarray
    near_duplicates: NearDuplicates | None

    def take(self, order: np.ndarray) -> Grouping:
        """Return the same of the rows in another order, (N,)."""
        return replace(
            self, groups=self.groups[order], alike=self.alike[order], fixed=self.fixed[order]
        )


def group_rows(
    values: np.ndarray,
    targets: np.ndarray,
    content_hash: np.ndarray,
    column: np.ndarray | None,
    similarity: float | str,
    listener: Listener,
) -> Grouping:
    """Find the rows that belong together.

    Args:
        values: Features, (N, D).
        targets: Class numbers, (N,).
        content_hash: uint8 (N, 16).
        column: N values, None or NaN where there is none; or no column.
        similarity: See `featx.heads.options.EvaluationOptions`.
        listener: Receives notes.
    """
    copies = _number_contents(content_hash)
    num_targets = int(targets.max(initial=0)) + 1
    pairs = np.unique(copies * num_targets + targets)
    fixed = (np.bincount(pairs // num_targets) > 1)[copies]
    alike, found = copies, None
    if similarity != "off":
        near = _find_near_duplicates(values, similarity, listener)
        if near is not None:
            alike = join_groups(copies, near[0])
            sizes = np.bincount(alike)
            found = NearDuplicates(near[1], int(sizes[sizes > 1].sum()), int((sizes > 1).sum()))
    groups = alike if column is None else join_groups(alike, _number_values(column, listener))
    return Grouping(groups, alike, fixed, found)


def _number_contents(content_hash: np.ndarray) -> np.ndarray:
    """Number hashes, uint8 (N, 16), equal ones alike: (N,)."""
    halves = np.ascontiguousarray(content_hash).view(np.uint64)  # Two columns: sorted much faster.
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    ranked = halves[order]
    is_new = (ranked[1:] != ranked[:-1]).any(axis=1)
    copies = np.empty(len(order), np.int64)
    copies[order] = np.concatenate([[0], np.cumsum(is_new)])[: len(order)]
    return copies


def _find_near_duplicates(
    values: np.ndarray, similarity: float | str, listener: Listener
) -> tuple[np.ndarray, float] | None:
    """Return group numbers and the similarity; None where features do not tell copies."""
    is_asked = not isinstance(similarity, str)
    least = float(similarity) if is_asked else DEFAULT_SIMILARITY
    if not is_asked and values.shape[1] < LEAST_WIDTH:
        return None
    if not is_asked and len(values) > MOST_ROWS:
        asking = option("near_duplicates", DEFAULT_SIMILARITY)
        listener.note(
            f"near-duplicates are not looked for among more than {MOST_ROWS:,} images unless "
            f"asked, with {asking}; only identical files are kept together"
        )
        return None
    groups = group_alike(values, least)
    if groups is not None:
        sizes = np.bincount(groups)
        if is_asked or 2 * sizes[sizes > 1].sum() <= len(groups):
            return groups, least
    listener.note(
        "most images have features that are almost equal to another's: either they are "
        "near-duplicates, such as frames of a film, or this layer does not tell them apart. They "
        "are not kept on one side of the split; what belongs together can be said with "
        f"{option('groups', 'COLUMN')}"
    )
    return None


def _number_values(column: np.ndarray, listener: Listener) -> np.ndarray:
    """Number the values of a column; each missing one is a group of its own."""
    numbers: dict[object, int] = {}
    groups = np.empty(len(column), np.int64)
    missing = 0
    for row, value in enumerate(column.tolist()):
        is_missing = value is None or value != value  # NaN is not equal to itself.
        missing += is_missing
        groups[row] = numbers.setdefault(("row", row) if is_missing else value, len(numbers))
    if missing:
        listener.note(
            f"{format_count(missing, 'image')} without a group: each is taken for one by itself"
        )
    return groups
