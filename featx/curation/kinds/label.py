"""Labels that are probably wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding
from featx.heads.targets import name_labels

MOST_WRONG = 1 / 3
"""Share of the labels from which on a note says that the heads, not the labels, may be wrong."""


class LabelFindings:
    """Pictures that are confidently of another class than the given one.

    Confident learning (Northcutt, Jiang and Chuang, 2021): a picture belongs to the most probable
    of the classes whose probability comes near that of the average picture of the class. The
    probabilities are those of a head that has not seen the picture.
    """

    title = "Labels that are probably wrong"
    advice = "Look at them, and correct the table of labels."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return why there are no classes to be told apart."""
        return rows.why_not_classes()

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return them; the score is 1 less the probability of the given class, which ranks best."""
        if rows.several is not None:
            return _find_wrong_labels(rows)
        found = rows.predictions
        targets = rows.targets[rows.labelled]
        is_wrong = found.is_known & (found.confident >= 0) & (found.confident != targets)
        is_wrong &= found.confident_probability > np.nan_to_num(found.own)
        if is_wrong.sum() > MOST_WRONG * found.is_known.sum():
            _note_weak_heads(rows, int(is_wrong.sum()))
        return [
            rows.finding(
                "label",
                int(rows.labelled[place]),
                1 - found.own[place],
                suggested=rows.classes[found.confident[place]],
                detail=f"probability {found.own[place]:.2f} as given, "
                f"{found.confident_probability[place]:.2f} as suggested",
            )
            for place in np.flatnonzero(is_wrong).tolist()
        ]


def _note_weak_heads(rows: AuditRows, count: int) -> None:
    found = rows.predictions
    right = (found.best == rows.targets[rows.labelled])[found.is_known].mean()
    rows.listener.note(
        f"label: {count:,} of {found.is_known.sum():,} labels do not fit, but these features tell "
        f"classes apart in {right:.0%} of the images only: look at the first ones alone, or at "
        "another layer or model"
    )


def _find_wrong_labels(rows: AuditRows) -> Sequence[Finding]:
    """Return pictures of several labels that lack one, or have one that does not apply."""
    found, classes = rows.label_predictions, np.array(rows.classes)
    result = []
    for place in np.flatnonzero(found.is_wrong.any(axis=1)).tolist():
        wrong = np.flatnonzero(found.is_wrong[place])
        wrong = wrong[np.argsort(found.own[place, wrong], kind="stable")]
        details = [
            f"{classes[number]} {'does not apply' if found.given[place, number] else 'is missing'} "
            f"(probability {found.applies[place, number]:.2f})"
            for number in wrong.tolist()
        ]
        result.append(
            rows.finding(
                "label",
                int(rows.labelled[place]),
                1 - float(found.own[place, wrong[0]]),
                suggested=name_labels(found.given[place] ^ found.is_wrong[place], rows.classes),
                detail="; ".join(details),
            )
        )
    return result


label = LabelFindings()
