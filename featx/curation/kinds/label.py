"""Labels that are probably wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding


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
        found = rows.predictions
        targets = rows.targets[rows.labelled]
        is_wrong = found.is_known & (found.confident >= 0) & (found.confident != targets)
        is_wrong &= found.confident_probability > np.nan_to_num(found.own)
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


label = LabelFindings()
