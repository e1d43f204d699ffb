"""Splits that differ from each other, and copies that are in two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.difference import Difference, compare_sets, measure_auroc
from featx.curation.findings import Finding
from featx.heads.stored_values import leave_mapped, take_rows

LEAST_IN_CLASS = 10
"""Pictures of a class on each side, from which it is said how much it differs."""

MOST_CLASSES = 3


class SplitFindings:
    """Splits that a classifier tells from the others, and copies in two splits."""

    title = "Splits that differ, and copies in two of them"
    advice = "What is measured on one split says little about the other: divide the pictures anew."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return that there are no two splits."""
        names = {split for split in rows.collection.splits if split is not None}
        return None if len(names) > 1 else "the store has no two splits"

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return them; the score is the AUROC, and of copies their similarity."""
        splits = np.array([split or "" for split in rows.collection.splits])
        chosen = np.flatnonzero(splits != "")
        names = sorted({str(name) for name in splits[chosen]})
        found = [*_find_leaks(rows, splits)]
        # Of two splits, each differs from the other: one comparison says it.
        for name in names[-1:] if len(names) == 2 else names:
            is_own = splits[chosen] == name
            difference = compare_sets(
                take_rows(leave_mapped(rows.collection.values), chosen),
                is_own,
                rows.strata[chosen],
                rows.seed,
                rows.groups[chosen],
            )
            if difference is None or not difference.is_real:
                continue
            found.append(
                Finding(
                    "split",
                    None,
                    round(difference.auroc, 6),
                    given=name,
                    other=", ".join(other for other in names if other != name),
                    detail=f"{difference}{_name_classes(difference, is_own, rows, chosen)}",
                )
            )
        return found


def _find_leaks(rows: AuditRows, splits: np.ndarray) -> Iterator[Finding]:
    """Yield copies that are in two splits."""
    pairs = rows.near.among(splits != "")
    sides = splits[pairs]
    is_leak = sides[:, 0] != sides[:, 1]
    for one, other in pairs[is_leak].tolist():
        similarity = rows.near.compare_pair(one, other)
        yield rows.finding(
            "split",
            other,
            similarity,
            given=str(splits[other]),
            other=rows.collection.keys[one],
            detail=f"a copy is in {splits[one]}: similarity {similarity:.4f}",
        )


def _name_classes(
    difference: Difference, is_second: np.ndarray, rows: AuditRows, chosen: np.ndarray
) -> str:
    """Return the classes that differ most, as the end of a sentence; empty without classes."""
    sides = is_second[difference.rows]
    values = []
    for number in range(len(rows.classes)):
        own = rows.members(number)[chosen][difference.rows]
        if min(sides[own].sum(), (~sides[own]).sum()) >= LEAST_IN_CLASS:
            auroc = measure_auroc(difference.scores[own], sides[own])
            values.append((auroc, rows.classes[number]))
    most = [f"{name} ({auroc:.2f})" for auroc, name in sorted(values, reverse=True)]
    return f"; most in {', '.join(most[:MOST_CLASSES])}" if most else ""


split = SplitFindings()
