"""What libtiff says about a damaged file, which it would write to stderr without the file's name.

Pillow has no setting for that. libtiff itself calls a function with each message: while pictures
are decoded, that is one of featx's, which keeps the messages of its own threads and passes on
those of others.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

from PIL import _imaging

from featx.forks import ProcessLock

MAX_MESSAGE = 400
"""Bytes of a message that are kept, its end included."""

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
"""``void (*TIFFErrorHandler)(const char *module, const char *format, va_list arguments)``, in
libtiff's tiffio.h. A `va_list` is, or is passed as, a pointer on x86-64 and on ARM, under Linux and
macOS."""

_thread = threading.local()


@contextlib.contextmanager
def libtiff_reasons() -> Iterator[None]:
    """Decode a picture, with what libtiff reports as the reason where that fails.

    libtiff is not to be found on Windows, where it is a part of Pillow: nothing changes there.

    Raises:
        OSError: As Pillow does, with libtiff's words where it has any.
    """
    messages: list[str] = []
    try:
        with _collected(messages):
            yield
    except OSError as error:
        if not messages:
            raise
        raise OSError(f"{messages[0]} (libtiff)") from error


@contextlib.contextmanager
def _collected(messages: list[str]) -> Iterator[None]:
    """Add the first message of this thread to a list."""
    handling = _find_handling()
    if handling is None:
        yield
        return
    with handling:
        _thread.messages = messages
        try:
            yield
        finally:
            _thread.messages = None


class _Handling:
    """The function that libtiff calls, set by the first of several threads that decode.

    Args:
        set_handler: ``TIFFSetErrorHandler``: it sets a function and returns the one before.
        write: ``vsnprintf`` of the C library.
    """

    def __init__(self, set_handler: Any, write: Any) -> None:
        self._set_handler = set_handler
        self._write = write
        self._handler = _Handler(self._handle)
        self._before: Any = None
        self._users = 0
        self._lock = ProcessLock()

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._before = self._set_handler(self._handler)
            self._users += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._set_handler(self._before)

    def _handle(self, module: bytes | None, text: bytes, arguments: int) -> None:
        messages: list[str] | None = getattr(_thread, "messages", None)
        if messages is None:
            if self._before:
                self._before(module, text, arguments)
        elif not messages:
            buffer = ctypes.create_string_buffer(MAX_MESSAGE)
            self._write(buffer, MAX_MESSAGE, text, arguments)
            messages.append(buffer.value.decode(errors="replace").strip().rstrip("."))


@cache
def _find_handling() -> _Handling | None:
    """Find libtiff among what Pillow's own library has loaded."""
    try:
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        write = ctypes.CDLL(None).vsnprintf
    except (AttributeError, OSError, TypeError):
        return None
    set_handler.argtypes = [_Handler]
    set_handler.restype = _Handler
    write.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]
    return _Handling(set_handler, write)
