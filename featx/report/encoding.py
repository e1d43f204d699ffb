"""Output in any encoding: what it lacks is written in another way, and is no error."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

_HANDLER = "featx.ascii"
_LOOKALIKES = {"─": "-", "━": "-", "×": "x", "–": "-", "—": "-", "…": "...", "→": "->", "±": "+-"}
"""Characters that featx draws and writes → how they are written where they do not exist."""


def allow_any_text(stream: TextIO | None) -> None:
    """Let a stream of any encoding take any text.

    What is featx's own becomes similar ASCII; a letter of a name is escaped, as in ``\\xe9``.

    Args:
        stream: The standard output or error; nothing happens where there is none, or where it is
            no file.

    Example:
        >>> stream = io.TextIOWrapper(io.BytesIO(), "ascii")
        >>> allow_any_text(stream)
        >>> _ = stream.write("128×128 → é"), stream.flush()
        >>> stream.buffer.getvalue()
        b'128x128 -> \\\\xe9'
    """
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error(_HANDLER, _write_otherwise)
        stream.reconfigure(errors=_HANDLER)


def _write_otherwise(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    written = "".join(
        _LOOKALIKES.get(char) or char.encode("ascii", "backslashreplace").decode("ascii")
        for char in missing
    )
    return written, error.end
