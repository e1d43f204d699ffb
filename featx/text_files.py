"""Text as other programs write it: UTF-8 or UTF-16, with or without a mark, or Latin-1."""

from __future__ import annotations

import codecs
from typing import NamedTuple

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16, whose mark it begins with.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PROBE_BYTES = 1 << 12

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula; an apostrophe before it keeps it text
(https://owasp.org/www-community/attacks/CSV_Injection)."""


class DecodedText(NamedTuple):
    """The text of a file.

    Attributes:
        text: The text, without a byte order mark.
        guess: The encoding that was taken because the text is not UTF-8; None where it is certain.
    """

    text: str
    guess: str | None = None


def decode_text(data: bytes) -> DecodedText:
    """Decode the bytes of a text file.

    A byte order mark decides; without one it is UTF-8 or, where it is not valid UTF-8, what Windows
    calls ANSI and everybody else Latin-1.

    Raises:
        ValueError: If it is no text: it holds zero bytes.

    Example:
        >>> decode_text("é".encode("utf-16")).text, decode_text("é".encode("latin-1"))
        ('é', DecodedText(text='é', guess='Latin-1'))
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:
        encoding = _guess_utf16(data)
    if encoding is not None:
        return DecodedText(data.decode(encoding))
    if b"\0" in data:
        raise ValueError("it holds zero bytes: it is not a text file")
    try:
        return DecodedText(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    try:
        return DecodedText(data.decode("cp1252"), "Latin-1")
    except UnicodeDecodeError:  # Five bytes mean nothing in Windows-1252.
        return DecodedText(data.decode("latin-1"), "Latin-1")


def _guess_utf16(data: bytes) -> str | None:
    """Return which UTF-16 a text without a mark is: every other byte of its ASCII is zero."""
    probe = data[:_PROBE_BYTES]
    half = len(probe) // 2
    if len(data) % 2 or half < 2 or b"\0" not in probe:
        return None
    first, second = probe[0::2].count(0), probe[1::2].count(0)
    if second > 0.7 * half and not first:
        return "utf-16-le"
    return "utf-16-be" if first > 0.7 * half and not second else None


def quote_formula(text: str) -> str:
    """Return a text as a CSV file has it that is opened in a spreadsheet: no formula.

    Example:
        >>> quote_formula("=HYPERLINK(1)"), quote_formula("tulip")
        ("'=HYPERLINK(1)", 'tulip')
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
