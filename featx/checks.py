"""Checks of options that are passed in Python: most return the value in its plain form."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING

from featx.errors import InvalidType, InvalidValue, UnknownName, join_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike


def check_numbers(name: str, values: ArrayLike) -> np.ndarray:
    """Return an array as it is, or lists of numbers as an array of float32, as features are.

    Raises:
        InvalidType: If it is something else, or lists of different lengths.

    Example:
        >>> check_numbers("queries", [[1, 2], [3, 4]]).shape
        (2, 2)
    """
    import numpy as np

    try:
        array = np.asarray(values)
    except ValueError:  # Lists of different lengths.
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise InvalidType(
            f"{name!r} takes an array of numbers, or lists of equal lengths. "
            f"Received: {type(values).__name__}."
        )
    return array if hasattr(values, "dtype") else array.astype(np.float32)


def check_whole_number(name: str, value: object, *, least: int) -> int:
    """Return an option that is a whole number, such as 4 or ``np.int64(4)``, as an int.

    Raises:
        InvalidType: If it is something else; True and False are no numbers here.
        InvalidValue: If it is less than `least`.

    Example:
        >>> check_whole_number("workers", 4, least=1)
        4
    """
    number = _as_whole_number(value)
    if number is not None and number >= least:
        return number
    raise (InvalidType if number is None else InvalidValue)(
        f"{name!r} takes a whole number, at least {least}. Received: {value!r}. "
        "Leave it out for the default."
    )


def check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among `choices`, naming those that are.

    Raises:
        UnknownName: If `value` is not one of `choices`.
    """
    if value not in choices:
        raise UnknownName(what, str(value), choices, remedy=f"Choose {join_names(choices)}.")


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
            f"{name!r} takes True or False. Received: {value!r}. Leave it out for the default."
        )


def check_img_size(value: object) -> tuple[int, int]:
    """Return an image size, ``(height, width)`` in pixels.

    Raises:
        InvalidType: If it is no tuple or list of whole numbers.
        InvalidValue: If these are not two, each at least 1.

    Example:
        >>> check_img_size([224, 320])
        (224, 320)
    """
    numbers = _as_whole_numbers(value)
    if numbers is not None and len(numbers) == 2 and min(numbers) >= 1:
        return numbers[0], numbers[1]
    raise (InvalidType if numbers is None else InvalidValue)(
        "'img_size' takes (height, width), whole numbers, each at least 1. "
        f"Received: {value!r}. For example: img_size=(224, 320)."
    )


def check_shard(value: object) -> tuple[int, int]:
    """Return a shard, ``(i, n)``: the i-th of n, counted from 1.

    Raises:
        InvalidType: If it is no tuple or list of whole numbers.
        InvalidValue: If these are not two, i from 1 to n.

    Example:
        >>> check_shard((2, 4))
        (2, 4)
    """
    numbers = _as_whole_numbers(value)
    if numbers is not None and len(numbers) == 2 and 1 <= numbers[0] <= numbers[1]:
        return numbers[0], numbers[1]
    raise (InvalidType if numbers is None else InvalidValue)(
        "'shard' takes (i, n), whole numbers, i from 1 to n. "
        f"Received: {value!r}. For example: shard=(1, 4), the first of four."
    )


def check_texts(name: str, value: object) -> tuple[str, ...]:
    """Return an option that is one text or several.

    Raises:
        InvalidType: If it is something else.

    Example:
        >>> check_texts("layers", "embedding"), check_texts("layers", ["conv1", "fc1"])
        (('embedding',), ('conv1', 'fc1'))
    """
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable):
        texts = tuple(value)
        if all(isinstance(text, str) for text in texts):
            return texts
    raise InvalidType(
        f"{name!r} takes a text, or several in a list. Received: {value!r}. "
        f"For example: {name}=['a', 'b']."
    )


def _as_whole_number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    return int(value)


def _as_whole_numbers(value: object) -> list[int] | None:
    """Return the numbers of a tuple or list; None if it is, or holds, anything else."""
    if not isinstance(value, (tuple, list)):
        return None
    numbers = [number for one in value if (number := _as_whole_number(one)) is not None]
    return numbers if len(numbers) == len(value) else None
