"""What public functions are called with, in the words and types that people use, made plain.

The shell and the library take the same words: ``layer`` and ``layers``, ``keys`` and ``key``. And
a wrong type is one sentence about the argument, not an error from deep inside.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from featx.checks.flags import check_flag, check_flag_or_none, check_verbose
from featx.checks.layers import check_dtype, check_layer, check_layers, check_pool
from featx.checks.numbers import check_number, check_whole_numbers
from featx.checks.texts import check_path, check_text, check_texts
from featx.errors import FeatxError, InvalidType, InvalidValue, UnknownOption, join_names
from featx.events import Listener
from featx.objects.addresses import is_address, reveal, write_address
from featx.trust import add_objects, check_trust
from featx.wording import command, option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[str, Any], Any]

SYNONYMS = {
    "force": ("overwrite",),
    "k": ("top",),
    "key": ("keys",),
    "kind": ("kinds",),
    "layer": ("layers",),
    "lr": ("learning_rate",),
    "layers": ("layer",),
    "max_index_memory_usage": ("max_memory",),
    "max_index_query_time_ms": ("max_query_time",),
    "model_name": ("model",),
    "module_name": ("layers", "layer"),
    "stores": ("sources",),
    "top": ("k",),
    "topk": ("top", "k"),
}
"""Another word for a keyword, as an option or a peer of featx has it → the keyword."""


_REQUIRED = inspect.Parameter.empty


def check_given_path(name: str, value: Any) -> str:
    """Return a path as text; refuse None, too."""
    text = check_path(name, value)
    if text is None:
        raise InvalidType(f"{name!r} takes a path. Received: None.")
    return text


def check_paths(name: str, value: Any) -> list[str]:
    """Return several paths as texts, in a list; one may be alone."""
    if isinstance(value, (str, os.PathLike)) or not _is_several(value):
        value = [value]
    return [check_given_path(name, one) for one in value]


def check_store(name: str, value: Any) -> str | None:
    """Return the path of a store as text, of one in an object store that of its copy."""
    text = check_path(name, value)
    if text is None or not is_address(text):
        return text
    from featx.objects.copies import copy_of  # It needs what makes requests.

    return copy_of(text)


def check_given_store(name: str, value: Any) -> str:
    """Return the path of a store as text, as `check_store`; refuse None, too."""
    return check_store(name, check_given_path(name, value)) or ""


def check_stores(name: str, value: Any) -> list[str]:
    """Return the paths of several stores as texts, in a list; one may be alone."""
    return [check_given_store(name, one) for one in check_paths(name, value)]


def check_output(name: str, value: Any) -> str | None:
    """Return a path to write to as text, or None; refuse an address, which only stores have."""
    text = check_path(name, value)
    if text is not None and is_address(text):
        raise InvalidValue(
            f"{option(name)} takes a path on this machine: in object stores, only feature stores "
            f"are written, by {command('extract')}, {command('merge')} and {command('pack')}. "
            f"Received: {write_address(text)!r}."
        )
    return text


def _is_several(value: Any) -> bool:
    try:
        iter(value)
    except TypeError:  # Also of an array without axes.
        return False
    return True


def check_names(name: str, value: Any) -> tuple[str, ...] | None:
    """Return names in a tuple; one may be alone, and None stands for all."""
    return None if value is None else check_texts(name, value)


def check_head(name: str, value: Any) -> Any:
    """Return a head, or the path of one; None for None."""
    return value if hasattr(value, "predict_proba") else check_path(name, value)


def check_given_flag(name: str, value: Any) -> Any:
    """Return True or False; refuse anything else."""
    check_flag(name, value)
    return value


def check_listener(name: str, value: Any) -> Any:
    """Return a listener, or None; refuse what lacks a method of one."""
    methods = [each for each in vars(Listener) if not each.startswith("_")]
    if value is not None and not all(callable(getattr(value, each, None)) for each in methods):
        raise InvalidType(f"{name!r} takes a featx.Listener. Received: {value!r}.")
    return value


def check_number_or_text(name: str, value: Any) -> Any:
    """Return a number, or a text that stands for one, such as ``auto``."""
    return value if isinstance(value, str) else check_number(name, value)


def check_class_weight(name: str, value: Any) -> Any:
    """Return weights by the names of classes, ``balanced``, or the path of a table."""
    return value if isinstance(value, Mapping) else check_path(name, value)


CHECKS: dict[str, Check] = {
    "across": check_store,
    "across_splits": check_given_flag,
    "against": check_store,
    "allow_download": check_given_flag,
    "coverage": check_number,
    "class_weight": check_class_weight,
    "balance": check_given_flag,
    "csv_safe": check_given_flag,
    "dtype": check_dtype,
    "features": check_store,
    "flipped": check_given_flag,
    "format": check_text,
    "groups": check_text,
    "index": check_path,
    "k": check_whole_numbers(1),
    "ignore_split": check_given_flag,
    "keep": check_text,
    "kind": check_text,
    "layer": check_layer,
    "layers": check_layers,
    "learning_curve": check_given_flag,
    "listener": check_listener,
    "near_duplicates": check_number_or_text,
    "output": check_output,
    "model": check_path,
    "novelty": check_given_flag,
    "overwrite": check_given_flag,
    "pool": check_pool,
    "progress": check_flag_or_none,
    "repair": check_given_flag,
    "rows": check_path,
    "sample_weight": check_text,
    "seed": check_whole_numbers(0, 2**32 - 1),
    "signature": check_text,
    "single_file_limit": check_whole_numbers(0),
    "test_size": check_number,
    "strategy": check_text,
    "target": check_text,
    "threshold": check_number,
    "top": check_whole_numbers(1),
    "trust_model_code": check_trust,
    "verbose": check_verbose,
    "weights": check_path,
}
"""Keyword → its check, wherever it occurs."""


@contextlib.contextmanager
def _revealed() -> Iterator[None]:
    """Let errors name the address of a store, not the path of its copy."""
    try:
        yield
    except FeatxError as error:
        error.args = tuple(reveal(arg) if isinstance(arg, str) else arg for arg in error.args)
        raise


def plain_arguments(
    *groups: type[DataclassInstance], **more: Check
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a public function be called with synonyms, and with any type that means the same.

    Args:
        groups: Groups of options whose fields the function takes as keywords, too.
        more: Checks of arguments that mean something else in this function.

    Example:
        >>> @plain_arguments()
        ... def count(*, layers=(), pool="avg"):
        ...     return layers, pool
        >>> count(layer=-1, pool=None)
        (('-1',), 'none')
        >>> count(pool=7)
        Traceback (most recent call last):
        ...
        featx.errors.InvalidType: 'pool' takes a text. Received: 7.
    """
    checks = {**CHECKS, **more}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters.values()
        own = {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}
        places = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        takes_code = "trust_model_code" in own
        defaults = own | ({"custom_objects": None} if takes_code else {})
        defaults |= {each.name: each.default for group in groups for each in fields(group)}

        @wraps(function)
        def call(*positional: P.args, **keywords: P.kwargs) -> R:
            if len(positional) > len(places):
                taken = join_names([repr(name) for name in places], conjunction="and")
                raise InvalidType(
                    f"featx.{function.__name__}() takes {taken} by position, everything else by "
                    f"name. Received one more by position: {positional[len(places)]!r:.60}."
                )
            given = dict(zip(places, positional, strict=False))
            for name, value in _resolve_synonyms(keywords, defaults).items():
                if name in given:
                    raise InvalidType(f"{name!r} was given twice. Leave one of them out.")
                if name not in defaults:
                    raise UnknownOption(function.__name__, name, defaults)
                given[name] = value
            with _revealed():
                plain = {
                    name: checks[name](name, value) if name in checks else value
                    for name, value in given.items()
                    # None leaves out what has another default; of a pooling it is one itself.
                    if value is not None or name == "pool" or defaults[name] in (None, _REQUIRED)
                }
                objects = plain.pop("custom_objects", None)
                if objects is not None:
                    plain["trust_model_code"] = add_objects(
                        plain.get("trust_model_code", False), objects
                    )
                return function(**plain)  # type: ignore[arg-type, call-arg]

        return call

    return decorate


def plain_method(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check arguments of a public method, by position or by name.

    Args:
        checks: The check of each argument; others are passed on as they are.

    Example:
        >>> class Counter:
        ...     @plain_method(number=check_number)
        ...     def count(self, number):
        ...         return number
        >>> Counter().count("three")
        Traceback (most recent call last):
        ...
        featx.errors.InvalidType: 'number' takes a number. Received: 'three'.
    """

    def read(name: str, value: Any) -> Any:
        return checks[name](name, value) if name in checks else value

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        places = list(inspect.signature(method).parameters)

        @wraps(method)
        def call(*positional: P.args, **keywords: P.kwargs) -> R:
            in_place = [read(name, value) for name, value in zip(places, positional, strict=False)]
            named = {name: read(name, value) for name, value in keywords.items()}
            return method(*in_place, *positional[len(places) :], **named)  # type: ignore[arg-type]

        return call

    return decorate


def _resolve_synonyms(keywords: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return keywords under the names that a function has for them."""
    given: dict[str, Any] = {}
    for word, value in keywords.items():
        known = [name for name in SYNONYMS.get(word, ()) if name in names]
        name = word if word in names or not known else known[0]
        if name in given:
            raise InvalidType(f"{word!r} is another word for {name!r}. Leave one of them out.")
        given[name] = value
    return given
