"""Checks of texts: names, paths, keys, one of several choices."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable

from featx.checks.messages import describe_value, name_option
from featx.errors import InvalidType, InvalidValue, UnknownName, join_names


def check_choice(what: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among `choices`, naming those that are.

    Raises:
        InvalidType: If `value` is no text.
        UnknownName: If `value` is not one of `choices`.
    """
    if not isinstance(value, str):
        article = "An" if what[0] in "aeiou" else "A"
        raise InvalidType(
            f"{article} {what} is a text, {join_names(choices)}. Received: {describe_value(value)}."
        )
    if value not in choices:
        raise UnknownName(what, value, choices, remedy=f"Choose {join_names(choices)}.")


def check_text(name: str, value: object) -> str | None:
    """Return an option that is a text, or None.

    Example:
        >>> check_text("signature", "serving_default")
        'serving_default'
    """
    if value is None:
        return None
    if isinstance(value, str):
        return check_unicode(name, value)
    raise InvalidType(f"{name_option(name)} takes a text. Received: {value!r}.")


def check_texts(name: str, value: object) -> tuple[str, ...]:
    """Return an option that is one text or several.

    Raises:
        InvalidType: If it is something else.

    Example:
        >>> check_texts("layers", "embedding"), check_texts("layers", ["conv1", "fc1"])
        (('embedding',), ('conv1', 'fc1'))
    """
    if isinstance(value, str):
        return (check_unicode(name, value),)
    if isinstance(value, Iterable):
        with contextlib.suppress(TypeError):  # An array without axes says no only here.
            texts = tuple(value)
            if all(isinstance(text, str) for text in texts):
                return tuple(check_unicode(name, text) for text in texts)
    raise InvalidType(
        f"{name_option(name)} takes a text, or several in a list. Received: {value!r}. "
        f"For example: {name}=['a', 'b']."
    )


def split_names(text: str) -> tuple[str, ...]:
    """Return names between commas; what is empty between two of them is none.

    Example:
        >>> split_names("a, b,")
        ('a', 'b')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check_path(name: str, value: object) -> str | None:
    """Return a path as text, or None.

    Example:
        >>> from pathlib import PurePosixPath
        >>> check_path("output", PurePosixPath("a", "f.h5"))
        'a/f.h5'
    """
    if value is None:
        return None
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise InvalidType(f"{name_option(name)} takes a path. Received: {value!r}.")
    if not path or "\0" in path or not _is_encodable(path, os.fsencode):
        raise InvalidValue(f"{name_option(name)} takes a path. Received: {path!r}.")
    return path


def check_key(name: str, value: object) -> str:
    """Return the key of an image as text; a path may be one.

    Example:
        >>> check_key("key", "cats/1.jpg")
        'cats/1.jpg'
    """
    key = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(key, str):
        raise InvalidType(
            f"{name_option(name)} takes the key of an image, a text. Received: "
            f"{describe_value(value)}."
        )
    return key


def check_unicode(name: str, text: str) -> str:
    """Return a text that files can hold; half of a surrogate pair is none."""
    if not _is_encodable(text, str.encode):
        raise InvalidValue(
            f"{name_option(name)} takes a text. Received: {text!r}, which is not valid Unicode."
        )
    return text


def _is_encodable(text: str, encode: Callable[[str], bytes]) -> bool:
    try:
        encode(text)
    except UnicodeEncodeError:
        return False
    return True
