"""Hooks at every durable operation of this process: to count them, kill at one, fail at one.

Durable is what outlives the process: making, linking, renaming and removing names, opening a
file to write, and flushing. Writes into files are hooked where featx guards them.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featx.store.guarded_file import GuardedFile

_NAMES = ("replace", "rename", "link", "unlink", "mkdir", "rmdir", "fsync", "pwrite")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Operation:
    """A durable operation: its name and the paths that it was given."""

    name: str
    paths: tuple[str, ...]


Hook = Callable[[Operation, bool], None]
"""Called with each operation twice: before it (False) and after it (True)."""


@contextlib.contextmanager
def hooked(folder: Path, hook: Hook) -> Iterator[None]:
    """Call a hook at every durable operation below a folder."""
    inside = f"{folder.absolute()}{os.sep}"
    real_open, real_os_open, real_init = io.open, os.open, GuardedFile.__init__

    def call(name: str, paths: tuple[Any, ...], real: Callable[[], Any]) -> Any:
        known = tuple(os.path.abspath(os.fspath(path)) for path in paths)
        if not all(f"{path}{os.sep}".startswith(inside) for path in known):
            return real()
        hook(Operation(name, known), False)
        result = real()
        hook(Operation(name, known), True)
        return result

    def patched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)
        count = 2 if name in ("replace", "rename", "link") else 1

        def function(*arguments: Any, **options: Any) -> Any:
            paths = arguments[:count]
            if name in ("fsync", "pwrite"):
                paths = (os.readlink(f"/proc/self/fd/{paths[0]}"),)
            return call(name, paths, lambda: real(*arguments, **options))

        return function

    def open_file(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        def real() -> Any:
            return real_open(file, mode, *arguments, **options)

        writing = not isinstance(file, int) and set("wax+") & set(mode)
        return call("create", (file,), real) if writing else real()

    def os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> Any:
        def real() -> Any:
            return real_os_open(path, flags, *arguments, **options)

        return call("create", (path,), real) if flags & _WRITING else real()

    def init(self: GuardedFile, path: Path) -> None:
        real_init(self, path)
        raw = self._file

        class Watched:
            """The guarded file's own file, with its writes hooked."""

            def __getattr__(self, name: str) -> Any:
                return getattr(raw, name)

            def write(self, data: Any) -> Any:
                return call("write", (path,), lambda: raw.write(data))

        self._file = Watched()  # type: ignore[assignment]

    saved = {name: getattr(os, name) for name in _NAMES}
    for name in _NAMES:
        setattr(os, name, patched(name))
    io.open = builtins.open = open_file
    os.open = os_open
    GuardedFile.__init__ = init  # type: ignore[method-assign]
    try:
        yield
    finally:
        for name, function in saved.items():
            setattr(os, name, function)
        io.open = builtins.open = real_open
        os.open = real_os_open
        GuardedFile.__init__ = real_init  # type: ignore[method-assign]


class Counter:
    """Counts operations, before they happen, and lets a subclass act at one of them."""

    def __init__(self, kinds: frozenset[str] | None = None, *, without: str = "write") -> None:
        self.count = 0
        self.last: Operation | None = None
        self._kinds, self._without = kinds, without
        self._lock = threading.Lock()

    def __call__(self, operation: Operation, after: bool) -> None:
        """Count an operation, if it is of the kinds that count."""
        wanted = self._kinds is None and operation.name != self._without
        if not wanted and operation.name not in (self._kinds or ()):
            return
        with self._lock:
            if not after:
                self.count += 1
                self.last = operation
            self.act(operation, after)

    def act(self, operation: Operation, after: bool) -> None:
        """Do nothing more."""


class KillAt(Counter):
    """Kills this process before or after the k-th operation."""

    def __init__(self, number: int, after: bool) -> None:
        super().__init__()
        self._number, self._after = number, after

    def act(self, operation: Operation, after: bool) -> None:
        """Kill, if this is the instant."""
        if self.count == self._number and after == self._after:
            os.kill(os.getpid(), signal.SIGKILL)


class FailAt(Counter):
    """Makes the k-th operation of some kinds fail with an error of the system."""

    def __init__(self, kinds: frozenset[str], number: int, code: int) -> None:
        super().__init__(kinds)
        self._number, self._code = number, code

    def act(self, operation: Operation, after: bool) -> None:
        """Fail, if this is the instant."""
        if self.count == self._number and not after:
            raise OSError(self._code, os.strerror(self._code), *operation.paths[:1])
