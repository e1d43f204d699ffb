"""Pictures that are far from all others, and those that belong to no class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding

FAR = 3.5
"""Deviations from the median at which a distance is unusual, in robust standard deviations
(Iglewicz and Hoaglin, 1993)."""

FEWEST = 30
"""Pictures of which something can be unusual."""


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
        similarity = rows.neighbours.similarity.astype(np.float64).mean(axis=1)
        distance = np.sqrt(np.maximum(2 * (1 - similarity), 0))
        # Copies are nearer to their neighbours than is usual, which says nothing of what is far.
        middle = np.median(distance)
        deviation = 1.4826 * float(np.median(distance[distance >= middle] - middle))
        if deviation <= 1e-6:
            return []
        unusual = np.flatnonzero(distance >= middle + FAR * deviation)
        order, no_class = np.sort(distance), self._find_rows_of_no_class(rows)
        usual = 1 - middle**2 / 2
        return [
            rows.finding(
                "outlier",
                row,
                float(np.searchsorted(order, distance[row]) / len(order)),
                detail=f"similarity {similarity[row]:.2f} to its nearest, usually {usual:.2f}"
                + ("; of no class" if row in no_class else ""),
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


outlier = OutlierFindings()
