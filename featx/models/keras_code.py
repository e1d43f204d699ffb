"""What the code of a Keras model computes where it is not Keras's own.

No configuration says it: a class or a function is only named there, and a notebook gives the name
to another one in the next run of a cell. So its instructions are read, with the functions that it
calls and the values that it takes from around it.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from featx.models.content_hash import hash_arrays

_KERAS = ("keras", "tf_keras", "keras_hub", "keras_cv", "builtins")
_FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def own_classes(model: Any) -> list[type]:
    """Return the classes of a model and its layers that are not Keras's, with their bases."""
    kinds = [kind for layer in _all_layers(model) for kind in type(layer).__mro__]
    return [kind for kind in dict.fromkeys(kinds) if _root(kind) not in _KERAS and _is_layer(kind)]


def runs_own_code(model: Any) -> bool:
    """Whether a model computes with classes or functions that are not Keras's own."""
    return bool(own_classes(model)) or any(_own_functions(model))


def describe_code(model: Any) -> list[Any]:
    """Return what own classes and functions of a model compute; nothing if there are none."""
    kinds, functions = own_classes(model), list(_own_functions(model))
    reader = _Reader(frozenset(_root(each) for each in (*kinds, *functions)))
    described = [reader.describe(each) for each in (*kinds, *functions)]
    for layer in _all_layers(model) if kinds else ():
        if type(layer) in kinds:
            # What its methods take from it, and a configuration need not say.
            held = {name: vars(layer)[name] for name in sorted(vars(layer)) if name in reader.names}
            described.append(reader.describe({n: v for n, v in held.items() if _is_plain(v)}))
    return described


class _Reader:
    """Describes values by what they are, never by where they are in memory.

    Args:
        roots: Packages whose functions and classes are read; of others, the name is enough.
    """

    def __init__(self, roots: frozenset[str]) -> None:
        self.names: set[str] = set()
        self._roots = roots
        self._seen: dict[int, Any] = {}  # With what has the number, which nothing else gets then.

    def describe(self, value: Any) -> Any:
        """Return a value as something that JSON can hold."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, (set, frozenset)):
            return sorted(map(repr, value))
        if id(value) in self._seen:
            return "again"
        if isinstance(value, (list, tuple)):
            self._seen[id(value)] = value
            return [self.describe(each) for each in value]
        if isinstance(value, dict):
            self._seen[id(value)] = value
            return [[repr(key), self.describe(each)] for key, each in value.items()]
        if isinstance(value, functools.partial):
            return [self.describe(each) for each in (value.func, value.args, value.keywords)]
        if isinstance(value, type) or callable(value):
            return self._describe_code(value)
        is_array = hasattr(value, "__array__") and np.asarray(value).dtype.kind in "biufc"
        return hash_arrays([np.asarray(value)]) if is_array else type(value).__qualname__

    def _describe_code(self, value: Any) -> Any:
        code = value if isinstance(value, type) else inspect.unwrap(value)
        name = getattr(code, "__qualname__", type(code).__qualname__)
        if _root(code) not in self._roots:
            return name
        self._seen[id(value)] = value
        if isinstance(code, type):
            return [name, [self.describe(each) for each in _members(code)]]
        return self._describe_function(code) if isinstance(code, types.FunctionType) else name

    def _describe_function(self, function: types.FunctionType) -> list[Any]:
        names = list(dict.fromkeys(_names(function.__code__)))
        self.names.update(names)
        used = {name: function.__globals__[name] for name in names if name in function.__globals__}
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        around = [function.__defaults__, function.__kwdefaults__, cells, used]
        return [_code_text(function.__code__), [self.describe(each) for each in around]]


def _all_layers(model: Any) -> Iterator[Any]:
    """Yield a model and all layers in it, also those in wrappers and cells, once each."""
    seen, waiting = {id(model)}, [model]
    while waiting:
        layer = waiting.pop(0)
        yield layer
        for value in vars(layer).values():
            for each in value if isinstance(value, (list, tuple)) else [value]:
                if _is_layer(type(each)) and id(each) not in seen:
                    seen.add(id(each))
                    waiting.append(each)


def _own_functions(model: Any) -> Iterator[Any]:
    """Yield the functions that layers of Keras were given, such as ``activation``."""
    for layer in _all_layers(model):
        if not hasattr(layer, "layers"):  # A whole model holds its loss, which computes no feature.
            for name, value in vars(layer).items():
                is_code = isinstance(value, (types.FunctionType, functools.partial))
                if is_code and not name.endswith(_FOR_TRAINING) and _root(value) not in _KERAS:
                    yield value


def _is_layer(kind: type) -> bool:
    return all(hasattr(kind, name) for name in ("call", "get_config", "weights"))


def _is_plain(value: Any) -> bool:
    return isinstance(value, (*_PLAIN, list, tuple, dict, np.ndarray, np.generic))


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # It is filled later.
        return False


def _root(value: Any) -> str:
    value = value.func if isinstance(value, functools.partial) else value
    return str(getattr(value, "__module__", None)).split(".")[0]


def _members(kind: type) -> Iterator[Any]:
    """Yield the functions of a class, and the values that it holds."""
    for name, value in vars(kind).items():
        member = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(member, types.FunctionType) or not name.startswith("__"):
            yield member


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _code_text(code: types.CodeType) -> list[Any]:
    return [code.co_code.hex(), [_constant_text(c) for c in code.co_consts], list(code.co_names)]


def _constant_text(constant: Any) -> Any:
    if isinstance(constant, types.CodeType):
        return _code_text(constant)
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)
