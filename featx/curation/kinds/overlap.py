"""Classes that are taken for each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding

LEAST_SHARE, LEAST_PICTURES = 0.1, 5
"""Pictures that are taken for the other class: as a share of both classes, and as a number."""


class OverlapFindings:
    """Pairs of classes of which many pictures are taken for the other one."""

    title = "Classes that overlap"
    advice = "Say more exactly what belongs to which, or make one class of them."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return why there are no classes to be told apart."""
        return rows.why_not_classes()

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return them; the score is the share of the pictures of both that are mistaken."""
        found = rows.predictions
        targets = rows.targets[rows.labelled]
        is_other = found.is_known & (found.best != targets)
        taken = np.sort(np.stack([targets, found.best], axis=1)[is_other], axis=1)
        pairs, counts = np.unique(taken, axis=0, return_counts=True)
        sizes = np.bincount(targets[found.is_known], minlength=len(rows.classes))
        result = []
        for (one, other), count in zip(pairs.tolist(), counts.tolist(), strict=True):
            total = int(sizes[one] + sizes[other])
            if count < LEAST_PICTURES or count < LEAST_SHARE * total:
                continue
            result.append(
                Finding(
                    "overlap",
                    None,
                    round(count / total, 6),
                    given=rows.classes[one],
                    other=rows.classes[other],
                    detail=f"{count:,} of {total:,} pictures are taken for the other class",
                )
            )
        return result


overlap = OverlapFindings()
