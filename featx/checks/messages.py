"""How messages of checks name an option, and repeat a value."""

from __future__ import annotations

from featx.wording import either, option

LONGEST = 80
"""Most characters of a value that a message repeats."""


def describe_value(value: object) -> str:
    """Return a value as a message repeats it: itself where it is short, otherwise its type.

    Example:
        >>> describe_value("cat"), describe_value([0.5] * 1000)
        ("'cat'", 'list')
    """
    text = repr(value)
    is_short = len(text) <= LONGEST and "\n" not in text
    return text if is_short else type(value).__name__


def name_option(name: str) -> str:
    """Name an option where a sentence is about it."""
    return either(shell=option(name), python=repr(name))
