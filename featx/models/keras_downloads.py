"""Keras fetches the weights of its applications when they are built: unless it may not."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from typing import Any

from featx.errors import DownloadNotAllowed
from featx.forks import ProcessLock
from featx.wording import option

_FILE_UTILS = "keras.src.utils.file_utils"
"""Where `keras.utils.get_file` is, and the function by which it fetches, a name of that module."""

_lock = ProcessLock()


@contextlib.contextmanager
def without_downloads(what: str) -> Iterator[None]:
    """Let Keras take files from its cache only, in this thread.

    Args:
        what: What would be fetched, for the error.

    Raises:
        DownloadNotAllowed: When Keras would fetch something.
    """
    module: Any = importlib.import_module(_FILE_UTILS)
    thread = threading.get_ident()

    def retrieve(*arguments: Any) -> Any:
        if threading.get_ident() == thread:
            raise DownloadNotAllowed(what, option("allow_download", True))
        return original(*arguments)

    with _lock:
        original = module.urlretrieve
        module.urlretrieve = retrieve
        try:
            yield
        finally:
            module.urlretrieve = original
