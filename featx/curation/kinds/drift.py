"""Pictures that are unlike those of an older store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.collection import Collection
from featx.curation.difference import compare_sets
from featx.curation.findings import Finding
from featx.wording import option

MOST_PICTURES = 20
"""New pictures that are least like the old ones, which are listed."""


class DriftFindings:
    """New pictures that a classifier tells from the old ones, and classes that came or went."""

    title = "What has changed since the older store"
    advice = "Measure a head that was fitted on the old pictures on the new ones."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return that there is no older store."""
        if rows.old is not None:
            return None
        return f"{option('against')} names an older store to compare with"

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return them; the score is the AUROC, and of a picture how unlike the old ones it is."""
        old = rows.old
        if old is None:
            return []
        found = [*_compare_classes(rows, old)]
        known = {one.tobytes() for one in old.content_hash}
        is_new = [one.tobytes() not in known for one in rows.collection.content_hash]
        new = np.flatnonzero(is_new)
        both = np.concatenate([old.values, rows.collection.values[new]])
        is_second = np.arange(len(both)) >= len(old)
        copies = old.copies()
        groups = np.append(copies, rows.groups[new] + copies.max(initial=0) + 1)
        strata = _number_labels(rows, old, new)
        difference = compare_sets(both, is_second, strata, rows.seed, groups)
        if difference is None or not difference.is_real:
            return found
        found.append(Finding("drift", None, round(difference.auroc, 6), detail=str(difference)))
        compared = is_second[difference.rows]
        places = difference.rows[compared] - len(old)
        scores = difference.scores[compared]
        for place in np.argsort(-scores, kind="stable")[:MOST_PICTURES].tolist():
            below = float((difference.scores <= scores[place]).mean())
            row = int(new[places[place]])
            found.append(rows.finding("drift", row, below, detail="least like the old pictures"))
        return found


def _number_labels(rows: AuditRows, old: Collection, new: np.ndarray) -> np.ndarray:
    """Return class numbers of old and new rows; -1 for classes that are not in both."""
    labels = [*old.labels, *(rows.collection.labels[row] for row in new.tolist())]
    in_both = {label for label in labels[: len(old)] if label is not None}
    in_both &= {label for label in labels[len(old) :] if label is not None}
    numbers: dict[str | None, int] = {name: place for place, name in enumerate(sorted(in_both))}
    return np.array([numbers.get(label, -1) for label in labels])


def _compare_classes(rows: AuditRows, old: Collection) -> Iterator[Finding]:
    """Yield the classes that came or went, if both stores have labels."""
    before = rows.names_in(old.labels)
    if not before or not rows.classes:
        return
    for name in rows.classes:
        if name not in before:
            yield Finding("drift", None, 1.0, given=name, detail="a new class")
    for name in sorted(before - set(rows.classes)):
        yield Finding("drift", None, 1.0, other=name, detail="a class that is gone")


drift = DriftFindings()
