"""Classes with too few pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding
from featx.heads.near_duplicates import number_components

FEW = 10
"""Different pictures below which neither a head nor its measures say much of a class."""


class SmallClassFindings:
    """Classes with fewer than ten different pictures."""

    title = "Classes that are too small"
    advice = "Add pictures, or leave the class out."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return that there are no classes."""
        return None if rows.classes else rows.why_not_classes()

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return them; the score is 1 less a tenth for each picture."""
        groups = number_components(rows.near.rows, len(rows))
        pairs = np.unique(np.stack([rows.targets, groups])[:, rows.labelled], axis=1)
        different = np.bincount(pairs[0], minlength=len(rows.classes)).tolist()
        sizes = np.bincount(rows.targets[rows.labelled], minlength=len(rows.classes)).tolist()
        return [
            Finding(
                "small_class",
                None,
                round(1 - count / FEW, 6),
                given=rows.classes[number],
                detail=f"{sizes[number]:,} images"
                + (f", {count:,} different" if count < sizes[number] else ""),
            )
            for number, count in enumerate(different)
            if count < FEW
        ]


small_class = SmallClassFindings()
