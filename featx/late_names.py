"""Names of a package that are imported from its modules when they are first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def import_when_used(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: The package, for the message.
        modules: Name → the module that defines it.

    Example:
        >>> import_when_used("demo", {"dumps": "json"})("dumps")([1])
        '[1]'
        >>> import_when_used("demo", {})("dumps")
        Traceback (most recent call last):
        ...
        AttributeError: module 'demo' has no attribute 'dumps'
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return find
