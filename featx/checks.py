"""Checks of options that are passed in Python: most return the value in its plain form.

Types are taken as people have them: any path, whole numbers of NumPy, one layer or several. What
cannot be used is one sentence that says what is taken.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from featx.errors import InvalidType, InvalidValue, LibraryMissing, UnknownName, join_names
from featx.wording import either, option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike


LARGEST = 2**63 - 1
"""Largest whole number that files of featx hold."""

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


POOL_SYNONYMS = {"mean": "avg"}
"""Another word for a pooling, as other libraries have it → the pooling."""


def require_library(library: str, method: str) -> Any:
    """Import a library that only a method needs.

    Raises:
        LibraryMissing: Says what to type.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise LibraryMissing(library, f"{method}()") from error


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
            f"{_subject(name)} takes an array of numbers, or lists of equal lengths. "
            f"Received: {type(values).__name__}."
        )
    return array if hasattr(values, "dtype") else array.astype(np.float32)


def check_whole_number(name: str, value: object, *, least: int, most: int = LARGEST) -> int:
    """Return an option that is a whole number, such as 4 or ``np.int64(4)``, as an int.

    Raises:
        InvalidType: If it is something else; True and False are no numbers here.
        InvalidValue: If it is less than `least` or more than `most`.

    Example:
        >>> check_whole_number("workers", 4, least=1)
        4
    """
    number = _as_whole_number(value)
    if number is not None and least <= number <= most:
        return number
    upper = f", at most {most:,}" if number is not None and number > most else ""
    raise (InvalidType if number is None else InvalidValue)(
        f"{_subject(name)} takes a whole number, at least {least}{upper}. Received: {value!r}. "
        "Leave it out for the default."
    )


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
            f"{_subject(name)} takes True or False. Received: {value!r}. "
            "Leave it out for the default."
        )


def check_img_size(value: object) -> tuple[int, int]:
    """Return an image size, ``(height, width)`` in pixels; one number is both.

    Raises:
        InvalidType: If it is no whole number, and no sequence of them.
        InvalidValue: If these are not two, each at least 1.

    Example:
        >>> check_img_size([224, 320]), check_img_size(96)
        ((224, 320), (96, 96))
    """
    side = _as_whole_number(value)
    numbers = _as_whole_numbers(value) if side is None else [side, side]
    if numbers is not None and len(numbers) == 2 and min(numbers) >= 1:
        return numbers[0], numbers[1]
    raise (InvalidType if numbers is None else InvalidValue)(
        f"{_subject('img_size')} takes (height, width), whole numbers, each at least 1, or one "
        f"number for both. Received: {value!r}. For example: {option('img_size', 96)} or "
        f"{option('img_size', (224, 320))}."
    )


def check_widths(name: str, value: object) -> tuple[int, ...]:
    """Return one whole number or several as several.

    Example:
        >>> check_widths("hidden", 128), check_widths("hidden", [128, 64])
        ((128,), (128, 64))
    """
    single = _as_whole_number(value)
    numbers = _as_whole_numbers(value) if single is None else [single]
    if numbers is None:
        raise InvalidType(
            f"{_subject(name)} takes a whole number, or several in a list. Received: {value!r}."
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
        f"{_subject('shard')} takes (i, n), whole numbers, i from 1 to n. "
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


def check_texts(name: str, value: object) -> tuple[str, ...]:
    """Return an option that is one text or several.

    Raises:
        InvalidType: If it is something else.

    Example:
        >>> check_texts("layers", "embedding"), check_texts("layers", ["conv1", "fc1"])
        (('embedding',), ('conv1', 'fc1'))
    """
    if isinstance(value, str):
        return (_check_unicode(name, value),)
    if isinstance(value, Iterable):
        with contextlib.suppress(TypeError):  # An array without axes says no only here.
            texts = tuple(value)
            if all(isinstance(text, str) for text in texts):
                return tuple(_check_unicode(name, text) for text in texts)
    raise InvalidType(
        f"{_subject(name)} takes a text, or several in a list. Received: {value!r}. "
        f"For example: {name}=['a', 'b']."
    )


def check_text(name: str, value: object) -> str | None:
    """Return an option that is a text, or None.

    Example:
        >>> check_text("signature", "serving_default")
        'serving_default'
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _check_unicode(name, value)
    raise InvalidType(f"{_subject(name)} takes a text. Received: {value!r}.")


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
        raise InvalidType(f"{_subject(name)} takes a path. Received: {value!r}.")
    if not path or "\0" in path or not _is_encodable(path, os.fsencode):
        raise InvalidValue(f"{_subject(name)} takes a path. Received: {path!r}.")
    return path


def check_number(name: str, value: object) -> float | None:
    """Return an option that is a number, such as 0.5 or ``np.float32(0.5)``, or None.

    Example:
        >>> check_number("threshold", 1)
        1.0
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidType(f"{_subject(name)} takes a number. Received: {value!r}.")
    return float(value)


def check_layers(name: str, value: object) -> tuple[str, ...]:
    """Return layers as texts: one or several names, globs or numbers; none for None.

    Numbers are places in the list of layers, negative ones from its end.

    Example:
        >>> check_layers("layers", ["conv1", -2]), check_layers("layers", 3)
        (('conv1', '-2'), ('3',))
    """
    if value is None:
        return ()
    single = _as_layer(value)
    if single is not None:
        return (_check_unicode(name, single),)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, dict)):
        with contextlib.suppress(TypeError, NotImplementedError):  # A tensor says no only here.
            layers = [_as_layer(one) for one in value]
            if None not in layers:
                return tuple(_check_unicode(name, layer) for layer in layers if layer is not None)
    raise InvalidType(
        f"{_subject(name)} takes a name or a number, or several in a list. Received: "
        f"{describe_value(value)}. For example: {name}=['conv1', -2]."
    )


def check_layer(name: str, value: object) -> str | None:
    """Return one layer as text, or None; see `check_layers`.

    Example:
        >>> check_layer("layer", -1), check_layer("layer", ["fc1"])
        ('-1', 'fc1')
    """
    layers = check_layers(name, value)
    if len(layers) > 1:
        raise InvalidValue(f"{_subject(name)} takes one layer. Received: {value!r}.")
    return layers[0] if layers else None


def check_pool(name: str, value: object) -> str:
    """Return the name of a pooling; None is ``none``, and ``mean`` another word for ``avg``.

    Example:
        >>> check_pool("pool", None), check_pool("pool", "mean"), check_pool("pool", "gem")
        ('none', 'avg', 'gem')
    """
    if value is None:
        return "none"
    text = check_text(name, value) or ""
    return POOL_SYNONYMS.get(text, text)


def check_pools(name: str, value: object) -> str | tuple[str, ...]:
    """Return the name of a pooling, or several names.

    Example:
        >>> check_pools("pool", ["mean", "max"]), check_pools("pool", "gem")
        (('avg', 'max'), 'gem')
    """
    if isinstance(value, (list, tuple)) and value:
        return tuple(check_pool(name, one) for one in value)
    return check_pool(name, value)


def check_dtype(name: str, value: object) -> str:
    """Return the name of a type of numbers that is given by name, or as NumPy's.

    Example:
        >>> import numpy as np
        >>> check_dtype("dtype", np.float16), check_dtype("dtype", "float32")
        ('float16', 'float32')
    """
    if isinstance(value, str):
        return value
    import numpy as np

    with contextlib.suppress(TypeError, ValueError):
        if value is not None:
            return np.dtype(value).name  # type: ignore[call-overload, no-any-return]
    raise InvalidType(
        f"{_subject(name)} takes a type of numbers. Received: {value!r}. For example: "
        f"{option('dtype', 'float16')}."
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
    if _as_whole_number(value) in (0, 1, 2):
        return bool(value)
    return check_flag_or_none(name, value)


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
            f"{_subject(name)} takes the numbers of rows, whole numbers in an array or a list. "
            f"Received: {describe_value(value)}."
        )
    return np.atleast_1d(array.astype(np.int64))


def check_key(name: str, value: object) -> str:
    """Return the key of an image as text; a path may be one.

    Example:
        >>> check_key("key", "cats/1.jpg")
        'cats/1.jpg'
    """
    key = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(key, str):
        raise InvalidType(
            f"{_subject(name)} takes the key of an image, a text. Received: "
            f"{describe_value(value)}."
        )
    return key


def check_count(name: str, value: object) -> int:
    """Return a whole number that is at least 1."""
    return check_whole_number(name, value, least=1)


def _check_unicode(name: str, text: str) -> str:
    """Return a text that files can hold; half of a surrogate pair is none."""
    if not _is_encodable(text, str.encode):
        raise InvalidValue(
            f"{_subject(name)} takes a text. Received: {text!r}, which is not valid Unicode."
        )
    return text


def _is_encodable(text: str, encode: Callable[[str], bytes]) -> bool:
    try:
        encode(text)
    except UnicodeEncodeError:
        return False
    return True


def _as_layer(value: object) -> str | None:
    number = _as_whole_number(value)
    if number is not None:
        return str(number)
    return value if isinstance(value, str) else None


def _subject(name: str) -> str:
    """Name an option where a sentence is about it."""
    return either(shell=option(name), python=repr(name))


def _as_whole_number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    return int(value)


def _as_whole_numbers(value: Any) -> list[int] | None:
    """Return the numbers of a tuple, list or array; None if it is, or holds, anything else."""
    listed = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(listed, (tuple, list)):
        return None
    numbers = [number for one in listed if (number := _as_whole_number(one)) is not None]
    return numbers if len(numbers) == len(listed) else None
