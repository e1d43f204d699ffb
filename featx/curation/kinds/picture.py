"""Pictures that are dark, bright, plain, blurred, tiny or odd in shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from featx.curation.audit_rows import AuditRows
from featx.curation.findings import Finding
from featx.curation.pictures import MeasuredPicture
from featx.wording import option

DARK, BRIGHT = 0.1, 0.95
"""Mean grey values, in [0, 1]."""

PLAIN = 0.02
"""Standard deviation of grey values below which a picture shows nothing."""

TINY = 32
"""Pixels of the shorter side."""

LONG = 3.0
"""The longer side over the shorter one."""

BLURRED = 3.5
"""Robust standard deviations below the median of the logarithm of sharpness over contrast."""

LEAST_SPREAD = 0.2
"""Of that logarithm: pictures that are all equally sharp differ by nothing else."""

FEWEST = 30
"""Pictures among which one can be unusually blurred."""

_Reason = tuple[float, str]
"""How strong it is, in [0, 1], and what it is."""


class PictureFindings:
    """Pictures in which there is little to see."""

    title = "Pictures that are dark, blurred, tiny or odd in shape"
    advice = "Look at them: some are mistakes, others are only unusual."

    def unsuited(self, rows: AuditRows) -> str | None:
        """Return that the pictures are not to be read, or cannot be."""
        if not rows.reads_pictures:
            return f"{option('pictures', True)} reads the pictures for it"
        return None if rows.measured else "no picture can be read"

    def find(self, rows: AuditRows) -> Sequence[Finding]:
        """Return them; the score is that of the strongest reason."""
        blurred = _find_blurred(rows.measured)
        found = []
        for row, one in rows.measured.items():
            reasons = [*_list_reasons(one), *blurred.get(row, ())]
            if reasons:
                reasons.sort(reverse=True)
                detail = "; ".join(text for _, text in reasons)
                found.append(rows.finding("picture", row, reasons[0][0], detail=detail))
        return found


def _list_reasons(one: MeasuredPicture) -> Iterator[_Reason]:
    if one.brightness < DARK:
        yield 1 - one.brightness / DARK / 2, f"dark (brightness {one.brightness:.2f})"
    elif one.brightness > BRIGHT:
        excess = (one.brightness - BRIGHT) / (1 - BRIGHT)
        yield 0.5 + excess / 2, f"bright (brightness {one.brightness:.2f})"
    elif one.contrast < PLAIN:
        yield 1 - one.contrast / PLAIN / 2, f"plain (contrast {one.contrast:.3f})"
    shorter, longer = sorted((one.width, one.height))
    if shorter < TINY:
        yield 1 - shorter / TINY / 2, f"tiny ({one.width}×{one.height})"
    if longer > LONG * shorter:
        yield 1 - LONG * shorter / longer / 2, f"odd in shape ({one.width}×{one.height})"


def _find_blurred(measured: Mapping[int, MeasuredPicture]) -> dict[int, list[_Reason]]:
    """Return the rows of pictures that are unusually blurred, with the reason."""
    rows = [row for row, one in measured.items() if one.contrast >= PLAIN]
    if len(rows) < FEWEST:
        return {}
    # Relative to the contrast: a dark picture has weak edges, too, and may be sharp.
    relative = [max(measured[row].sharpness, 1e-6) / measured[row].contrast for row in rows]
    values = np.log(np.array(relative))
    middle = float(np.median(values))
    deviation = 1.4826 * float(np.median(middle - values[values <= middle]))
    distance = (middle - values) / max(deviation, LEAST_SPREAD)
    usual = float(np.exp(middle))
    return {
        row: [
            (
                1 - BLURRED / value / 2,
                f"blurred (sharpness {np.exp(own):.2f} of the contrast, usually {usual:.2f})",
            )
        ]
        for row, value, own in zip(rows, distance.tolist(), values.tolist(), strict=True)
        if value > BLURRED
    }


picture = PictureFindings()
