"""Copies of one picture with different labels."""

from __future__ import annotations

from collections.abc import Sequence

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding


class DuplicateFindings:
    """Pairs of identical or nearly identical pictures of which one label is wrong."""

    title = "Copies with different labels"
    advice = "One of the two labels is wrong, or the picture belongs to both classes."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return why labels cannot differ."""
        if len(rows.classes) > 1:
            return None
        return rows.why_not_classes()

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return each pair once; the score is the similarity."""
        targets = rows.targets
        pairs = rows.near.among(targets >= 0)
        differ = targets[pairs[:, 0]] != targets[pairs[:, 1]]
        found = []
        for one, other in pairs[differ].tolist():
            similarity = rows.near.compare_pair(one, other)
            found.append(
                rows.finding(
                    "duplicate",
                    other,
                    similarity,
                    suggested=rows.collection.labels[one],
                    other=rows.collection.keys[one],
                    detail=f"similarity {similarity:.4f}",
                )
            )
        return found


duplicate = DuplicateFindings()
