"""Pictures that are far from all others, and those that belong to no class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.curation.audit_rows import NEIGHBOURS, AuditRows
from featx.curation.findings import Finding
from featx.index.all_neighbours import find_neighbours

FAR = 3.5
"""Deviations from the median at which a distance is unusual, in robust standard deviations
(Iglewicz and Hoaglin, 1993)."""

FEWEST = 30
"""Pictures of which something can be unusual."""

CHECKED = 2_000
"""Where an index finds the neighbours, it may miss near ones: by so many pictures, compared with
all others, it is known what is usual, and so many of the farthest are compared, too."""


class OutlierFindings:
    """Pictures whose nearest neighbours are unusually far away."""

    title = "Pictures that are unlike all others"
    advice = "They may be of another kind, damaged, or the only ones of their kind."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return that there are too few pictures."""
        if len(rows) >= FEWEST:
            return None
        return f"there are fewer than {FEWEST} images"

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return them; the score is the share of the pictures that are nearer to theirs."""
        distance = _to_distance(rows.neighbours.similarity)
        usual = distance
        if rows.neighbours.recall is not None:
            order = np.random.default_rng(rows.seed).permutation(len(rows))
            usual = _compare(rows, np.sort(order[:CHECKED]))
            farthest = np.sort(np.argpartition(-distance, min(CHECKED, len(rows) - 1))[:CHECKED])
            distance[farthest] = _compare(rows, farthest)
        # Copies are nearer to their neighbours than is usual, which says nothing of what is far.
        middle = np.median(usual)
        deviation = 1.4826 * float(np.median(usual[usual >= middle] - middle))
        if deviation <= 1e-6:
            return []
        unusual = np.flatnonzero(distance >= middle + FAR * deviation)
        order, no_class = np.sort(distance), self._find_rows_of_no_class(rows)
        return [
            rows.finding(
                "outlier",
                row,
                float(np.searchsorted(order, distance[row]) / len(order)),
                detail=f"similarity {_to_similarity(distance[row]):.2f} to its nearest, usually "
                f"{_to_similarity(middle):.2f}" + ("; of no class" if row in no_class else ""),
            )
            for row in unusual.tolist()
        ]

    def _find_rows_of_no_class(self, rows: AuditRows) -> set[int]:
        """Return labelled rows for which no class is as probable as for its average picture."""
        if rows.why_not_classes() is not None:
            return set()
        if rows.several is not None:
            labels = rows.label_predictions
            is_none = labels.is_known.any(axis=1) & ~(labels.applies >= 0.5).any(axis=1)
            return set(rows.labelled[is_none & labels.given.any(axis=1)].tolist())
        found = rows.predictions
        return set(rows.labelled[found.is_known & (found.confident < 0)].tolist())


def _compare(rows: AuditRows, chosen: np.ndarray) -> np.ndarray:
    """Return the distances of some rows to their nearest, compared with all, (n,)."""
    return _to_distance(find_neighbours(rows.near.directions, chosen, NEIGHBOURS).similarity)


def _to_distance(similarity: np.ndarray) -> np.ndarray:
    """Return the distance of unit vectors whose cosine is the mean of some, (n,) of (n, k)."""
    return np.asarray(np.sqrt(np.maximum(2 * (1 - similarity.mean(axis=1, dtype=np.float64)), 0)))


def _to_similarity(distance: float) -> float:
    return 1 - distance**2 / 2


outlier = OutlierFindings()
