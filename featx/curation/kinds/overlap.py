"""Classes that are taken for each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
        mistaken = _count_labels(rows) if rows.several is not None else _count_classes(rows)
        result = []
        for one, other, count, total in mistaken:
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


def _count_classes(rows: AuditRows) -> Iterator[tuple[int, int, int, int]]:
    """Yield two classes, the pictures of both that are taken for the other, and all of both.

    Copies count as one picture.
    """
    found = rows.predictions
    targets, groups = rows.targets[rows.labelled], rows.groups[rows.labelled]
    is_other = found.is_known & (found.best != targets)
    taken = np.sort(np.stack([targets, found.best], axis=1)[is_other], axis=1)
    pictures = np.unique(np.column_stack([taken, groups[is_other]]), axis=0)
    pairs, counts = np.unique(pictures[:, :2], axis=0, return_counts=True)
    known = np.unique(np.stack([targets, groups])[:, found.is_known], axis=1)
    sizes = np.bincount(known[0], minlength=len(rows.classes))
    for (one, other), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        yield one, other, count, int(sizes[one] + sizes[other])


def _count_labels(rows: AuditRows) -> Iterator[tuple[int, int, int, int]]:
    """Yield the same where pictures have several labels: of those that have one of the two."""
    found, counts = rows.label_predictions, rows.examples.counts[:, np.newaxis]
    predicted = found.applies >= 0.5
    lacking = (found.given & ~predicted & found.is_known).astype(np.float64)
    further = (~found.given & predicted & found.is_known).astype(np.float64)
    mistaken = lacking.T @ (counts * further)
    given = found.given.astype(np.float64)
    both = given.T @ (counts * given)
    mistaken += mistaken.T
    sizes = np.diag(both)
    for one, other in np.argwhere(np.triu(mistaken, 1) >= 0.5).tolist():
        total = sizes[one] + sizes[other] - 2 * both[one, other]
        yield one, other, round(float(mistaken[one, other])), round(float(total))


overlap = OverlapFindings()
