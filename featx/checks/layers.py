"""Checks of what names a layer, a pooling or a type of numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from featx.checks.messages import describe_value, name_option
from featx.checks.numbers import as_whole_number
from featx.checks.texts import check_text, check_unicode
from featx.errors import InvalidType, InvalidValue
from featx.wording import option

POOL_SYNONYMS = {"mean": "avg"}
"""Another word for a pooling, as other libraries have it → the pooling."""


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
        return (check_unicode(name, single),)
    if isinstance(value, Iterable) and not isinstance(value, (bytes, dict)):
        with contextlib.suppress(TypeError, NotImplementedError):  # A tensor says no only here.
            layers = [_as_layer(one) for one in value]
            if None not in layers:
                return tuple(check_unicode(name, layer) for layer in layers if layer is not None)
    raise InvalidType(
        f"{name_option(name)} takes a name or a number, or several in a list. Received: "
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
        raise InvalidValue(f"{name_option(name)} takes one layer. Received: {value!r}.")
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
        f"{name_option(name)} takes a type of numbers. Received: {value!r}. For example: "
        f"{option('dtype', 'float16')}."
    )


def _as_layer(value: object) -> str | None:
    number = as_whole_number(value)
    if number is not None:
        return str(number)
    return value if isinstance(value, str) else None
