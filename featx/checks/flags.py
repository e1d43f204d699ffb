"""Checks of options that are True or False."""

from __future__ import annotations

from typing import Any

from featx.checks.messages import name_option
from featx.checks.numbers import as_whole_number
from featx.errors import InvalidType


def check_flag(name: str, value: object) -> None:
    """Refuse an option that is neither True nor False.

    Raises:
        InvalidType: If it is something else, such as a text.

    Example:
        >>> check_flag("wait", "no")
        Traceback (most recent call last):
        ...
        featx.errors.InvalidType: 'wait' takes True or False. Received: 'no'. ...
    """
    if not isinstance(value, bool):
        raise InvalidType(
            f"{name_option(name)} takes True or False. Received: {value!r}. "
            "Leave it out for the default."
        )


def check_flag_or_none(name: str, value: object) -> Any:
    """Return True, False or None; refuse anything else."""
    if value is not None:
        check_flag(name, value)
    return value


def check_verbose(name: str, value: object) -> Any:
    """Return True, False or None; of Keras's words 0 is False, 1 and 2 are True, ``auto`` is None.

    Example:
        >>> [check_verbose("verbose", value) for value in (0, 2, "auto")]
        [False, True, None]
    """
    if isinstance(value, str) and value == "auto":
        return None
    if as_whole_number(value) in (0, 1, 2):
        return bool(value)
    return check_flag_or_none(name, value)
