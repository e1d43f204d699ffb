"""Checks of numbers: one or several, sizes, shards, rows, arrays."""

from __future__ import annotations

import re
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from featx.checks.messages import describe_value, name_option
from featx.errors import InvalidType, InvalidValue
from featx.wording import option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

LARGEST = 2**63 - 1
"""Largest whole number that files of featx hold."""


def check_whole_number(name: str, value: object, *, least: int, most: int = LARGEST) -> int:
    """Return an option that is a whole number, such as 4 or ``np.int64(4)``, as an int.

    Raises:
        InvalidType: If it is something else; True and False are no numbers here.
        InvalidValue: If it is less than `least` or more than `most`.

    Example:
        >>> check_whole_number("workers", 4, least=1)
        4
    """
    number = as_whole_number(value)
    if number is not None and least <= number <= most:
        return number
    upper = f", at most {most:,}" if number is not None and number > most else ""
    raise (InvalidType if number is None else InvalidValue)(
        f"{name_option(name)} takes a whole number, at least {least}{upper}. Received: {value!r}. "
        "Leave it out for the default."
    )


def check_whole_numbers(least: int, most: int = LARGEST) -> Callable[[str, object], int | None]:
    """Return a check of an option that is a whole number from `least` to `most`, or None."""

    def check(name: str, value: object) -> int | None:
        return None if value is None else check_whole_number(name, value, least=least, most=most)

    return check


def check_several_numbers(least: int) -> Callable[[str, object], tuple[int, ...]]:
    """Return a check of whole numbers from `least`: one, several, or None for none.

    Example:
        >>> check = check_several_numbers(1)
        >>> check("pca", 8), check("pca", [8, 16]), check("pca", None)
        ((8,), (8, 16), ())
    """

    def check(name: str, value: object) -> tuple[int, ...]:
        if value is None:
            return ()
        several = value if isinstance(value, (list, tuple)) else [value]
        return tuple(check_whole_number(name, one, least=least) for one in several)

    return check


def check_count(name: str, value: object) -> int:
    """Return a whole number that is at least 1."""
    return check_whole_number(name, value, least=1)


def check_number(name: str, value: object) -> float | None:
    """Return an option that is a number, such as 0.5 or ``np.float32(0.5)``, or None.

    Example:
        >>> check_number("threshold", 1)
        1.0
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidType(f"{name_option(name)} takes a number. Received: {value!r}.")
    return float(value)


def check_img_size(value: object) -> tuple[int, int]:
    """Return an image size, ``(height, width)`` in pixels; one number is both.

    Raises:
        InvalidType: If it is no whole number, and no sequence of them.
        InvalidValue: If these are not two, each at least 1.

    Example:
        >>> check_img_size([224, 320]), check_img_size(96)
        ((224, 320), (96, 96))
    """
    side = as_whole_number(value)
    numbers = _as_whole_numbers(value) if side is None else [side, side]
    if numbers is not None and len(numbers) == 2 and min(numbers) >= 1:
        return numbers[0], numbers[1]
    raise (InvalidType if numbers is None else InvalidValue)(
        f"{name_option('img_size')} takes (height, width), whole numbers, each at least 1, or one "
        f"number for both. Received: {value!r}. For example: {option('img_size', 96)} or "
        f"{option('img_size', (224, 320))}."
    )


def check_widths(name: str, value: object) -> tuple[int, ...]:
    """Return one whole number or several as several.

    Example:
        >>> check_widths("hidden", 128), check_widths("hidden", [128, 64])
        ((128,), (128, 64))
    """
    single = as_whole_number(value)
    numbers = _as_whole_numbers(value) if single is None else [single]
    if numbers is None:
        raise InvalidType(
            f"{name_option(name)} takes a whole number, or several in a list. Received: {value!r}."
        )
    return tuple(numbers)


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
        f"{name_option('shard')} takes (i, n), whole numbers, i from 1 to n. "
        f"Received: {value!r}. For example: shard=(1, 4), the first of four."
    )


def check_shard_or_auto(value: object) -> tuple[int, int] | str:
    """Return a shard, or ``auto`` or ``auto/n``, by which the environment says which.

    Example:
        >>> check_shard_or_auto([2, 4]), check_shard_or_auto("auto/4")
        ((2, 4), 'auto/4')
    """
    if isinstance(value, str) and re.fullmatch("auto(/0*[1-9][0-9]*)?", value):
        return value
    return check_shard(value)


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
    except (ValueError, TypeError):  # Lists of different lengths; what only looks like a list.
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise InvalidType(
            f"{name_option(name)} takes an array of numbers, or lists of equal lengths. "
            f"Received: {type(values).__name__}."
        )
    return array if hasattr(values, "dtype") else array.astype(np.float32)


def check_rows(name: str, value: Any) -> np.ndarray:
    """Return numbers of rows as an array of int64.

    Example:
        >>> check_rows("rows", [3, 1]).tolist()
        [3, 1]
    """
    import numpy as np

    try:
        array = np.asarray(value)
    except (ValueError, TypeError):  # Lists of different lengths; a tensor without values.
        array = np.empty(0, object)
    is_empty = array.shape == (0,) and array.dtype.kind == "f"
    if array.ndim > 1 or not (is_empty or array.dtype.kind in "iu"):
        raise InvalidType(
            f"{name_option(name)} takes the numbers of rows, whole numbers in an array or a list. "
            f"Received: {describe_value(value)}."
        )
    return np.atleast_1d(array.astype(np.int64))


def as_whole_number(value: object) -> int | None:
    """Return a whole number as an int; None if it is, as True is, something else."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    return int(value)


def _as_whole_numbers(value: Any) -> list[int] | None:
    """Return the numbers of a tuple, list or array; None if it is, or holds, anything else."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(listed, (tuple, list)):
        return None
    numbers = [number for one in listed if (number := as_whole_number(one)) is not None]
    return numbers if len(numbers) == len(listed) else None
