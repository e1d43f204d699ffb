"""Which code of a model may run: none, what it brings, a file's, or objects of the program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from featx.errors import InvalidType, InvalidValue
from featx.wording import option


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """What may run of a model's code. It counts as True where code may run that a file brings.

    Attributes:
        brought: Whether what comes with a model may run.
        file: A Python file that defines what it needs; it may run, too.
        custom_objects: Classes and functions of the program by the names that the model has for
            them.
    """

    brought: bool = False
    file: str | None = None
    custom_objects: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.brought

    @property
    def is_remembered(self) -> bool:
        """Whether what is known of a model without this may be used again."""
        return not self.brought and not self.custom_objects


GivenTrust: TypeAlias = bool | str | Path | Trust
"""Trust as it is passed: True, a Python file, or already read."""


def check_trust(name: str, value: object) -> Trust:
    """Return what may run, of True, False, or the path of a Python file.

    Raises:
        InvalidType: If it is something else.
        InvalidValue: If there is no such file, or it is no Python file.

    Example:
        >>> bool(check_trust("trust_model_code", True)), check_trust("trust_model_code", False).file
        (True, None)
    """
    if isinstance(value, Trust):
        return value
    if isinstance(value, bool):
        return Trust(value)
    takes = f"{option(name)} takes a Python file that defines what a model needs"
    if not isinstance(value, (str, os.PathLike)):
        raise InvalidType(f"{takes}, or True or False. Received: {value!r}.")
    path = str(os.fspath(value))
    if not path.endswith(".py") or not os.path.isfile(path):
        is_named = path.endswith(".py")
        reason = "which does not exist" if is_named else "which is no .py file"
        raise InvalidValue(f"{takes}. Received: {path!r}, {reason}.")
    return Trust(True, os.path.abspath(path))


def add_objects(trust: object, custom_objects: object) -> Trust:
    """Return trust with objects of the program, as Keras takes them.

    Raises:
        InvalidType: If these are no dictionary of classes and functions by their names.
    """
    given = check_trust("trust_model_code", trust)
    if custom_objects is None:
        return given
    if not isinstance(custom_objects, Mapping) or not all(
        isinstance(name, str) and callable(value) for name, value in custom_objects.items()
    ):
        raise InvalidType(
            "'custom_objects' takes a dictionary of classes and functions by their names, such as "
            f"{{'Twice': Twice}}. Received: {custom_objects!r:.80}."
        )
    return replace(given, custom_objects=dict(custom_objects))
