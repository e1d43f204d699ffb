"""Libraries that only some methods need."""

from __future__ import annotations

import importlib
from typing import Any

from featx.errors import LibraryMissing


def require_library(library: str, method: str) -> Any:
    """Import a library that only a method needs.

    Raises:
        LibraryMissing: Says what to type.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise LibraryMissing(library, f"{method}()") from error
