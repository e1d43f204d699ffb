"""Numbers for people."""

from __future__ import annotations

from collections.abc import Sequence


def format_bytes(count: float) -> str:
    """Write a number of bytes for people.

    Example:
        >>> format_bytes(1_536_000)
        '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_shape(shape: Sequence[int | None]) -> str:
    """Write a shape for people; a size that varies is a question mark.

    Example:
        >>> format_shape((7, 7, 512)), format_shape((None, 64))
        ('7×7×512', '?×64')
    """
    return "×".join("?" if size is None else str(size) for size in shape)
