"""Classes with too few pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding
from featx.units import format_count

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
        classes, members = _list_members(rows)
        pairs = np.unique(np.stack([classes, rows.groups[members]]), axis=1)
        different = np.bincount(pairs[0], minlength=len(rows.classes)).tolist()
        sizes = np.bincount(classes, minlength=len(rows.classes)).tolist()
        return [
            Finding(
                "small_class",
                None,
                round(1 - count / FEW, 6),
                given=rows.classes[number],
                detail=format_count(sizes[number], "image")
                + (f", {count:,} different" if count < sizes[number] else ""),
            )
            for number, count in enumerate(different)
            if count < FEW
        ]


def _list_members(rows: AuditRows) -> tuple[np.ndarray, np.ndarray]:
    """Return classes, (K,), and the row that each time has it as a label, (K,)."""
    if rows.several is None:
        return rows.targets[rows.labelled], rows.labelled
    places, classes = np.nonzero(rows.several.applies[rows.labelled])
    return classes, rows.labelled[places]


small_class = SmallClassFindings()
