"""Text from outside (file names, labels, messages), made safe for a terminal."""

from __future__ import annotations

import os
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from featx.objects.addresses import reveal

_BIDI_CONTROLS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def printable(text: str) -> str:
    """Escape control characters, so that a file's name cannot control the terminal.

    Example:
        >>> printable("a\\x1b[31mred.jpg")
        'a\\\\x1b[31mred.jpg'
    """
    return "".join(
        char.encode("unicode_escape", "backslashreplace").decode("ascii")
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI_CONTROLS
        else char
        for char in text
    )


def wrap_line(text: str, width: int | None, indent: int = 2) -> list[str]:
    """Break a line between words; a longer word, such as a path, sticks out.

    Example:
        >>> wrap_line("accuracy 0.95 on 20 images", 20)
        ['accuracy 0.95 on 20', '  images']
    """
    if width is None or len(text) <= width:
        return [text]
    begin = " " * (len(text) - len(text.lstrip(" ")))
    return textwrap.wrap(
        text.lstrip(" "),
        width,
        initial_indent=begin,
        subsequent_indent=begin + " " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def common_folder(paths: Sequence[str]) -> str:
    """Return the folder that all paths begin with, and a slash behind it; empty without one.

    Example:
        >>> common_folder(["photos/cat/1.jpg", "photos/cattle/2.jpg"])
        'photos/'
    """
    first, last = min(paths), max(paths)
    pairs = enumerate(zip(first, last, strict=False))
    end = next((place for place, (one, other) in pairs if one != other), len(first))
    return first[: first.rfind("/", 0, end) + 1]


def short_path(path: str | Path) -> str:
    """Return a path relative to the working folder if it is below that folder.

    Example:
        >>> short_path(Path.cwd() / "photos" / "a.jpg")
        'photos/a.jpg'
        >>> short_path(Path.cwd() / "-i.jpg")  # Programs would take it for an option.
        './-i.jpg'
    """
    text = reveal(str(path))
    try:
        here = os.getcwd()
    except OSError:  # The working folder was removed.
        return text
    short = text[len(here) + 1 :] if text.startswith(here + os.sep) else text
    return f".{os.sep}{short}" if short.startswith("-") else short


def list_settings(settings: Mapping[str, object]) -> str:
    """Return what a kind of head chose, floats to four digits.

    Example:
        >>> list_settings({"temperature": 0.0172721, "folds": 5})
        'temperature = 0.01727, folds = 5'
    """
    return ", ".join(
        f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in settings.items()
    )


def describe_box(box: Sequence[int] | None) -> str:
    """Write a box of pixels: left, top, right, bottom; a dash for none.

    Example:
        >>> describe_box((12, 30, 88, 120))
        '12, 30, 88, 120'
    """
    return "–" if box is None else ", ".join(map(str, box))
