"""The process that featx runs in: its environment, its streams and its loggers.

A library call is a guest: file descriptors, `sys.stdout`, environment, filters of warnings and
levels of loggers belong to the program that calls. The command line's process is featx's own. It
says so, and only there is text of other libraries kept away from stdout. Lines that are no news to
anybody are kept off the screen where a person looks on: also in a notebook, or a program in a
terminal.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from featx.forks import ProcessLock

if TYPE_CHECKING:  # The command line imports this module, and should start fast.
    import logging
    import re

_REPORTS = "openvino_telemetry"
"""Sends each import of OpenVINO to Google Analytics, unless somebody has declined."""

_is_own = False
_environment = ProcessLock()
_redirecting = ProcessLock()
_hiding = ProcessLock()


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Say that the process is featx's own, as long as this is held; the `featx` program does."""
    global _is_own
    before, _is_own = _is_own, True
    try:
        yield
    finally:
        _is_own = before


def is_own_process() -> bool:
    """Whether descriptors, streams and loggers of this process may be changed."""
    return _is_own


@contextlib.contextmanager
def importing_without(modules: Iterable[str]) -> Iterator[None]:
    """Let an import do without optional modules, and without looking for garbage in between.

    The importing library does without them as long as the process lives, so nothing is done in one
    that is not featx's own. Who imports them later gets them.
    """
    if not _is_own:
        yield
        return
    collects = gc.isenabled()
    gc.disable()
    try:
        with _hiding_modules([name for name in modules if name not in sys.modules]):
            yield
    finally:
        if collects:
            gc.enable()


@contextlib.contextmanager
def importing_without_reports() -> Iterator[None]:
    """Let an import of OpenVINO or NNCF do without what would report it to their makers.

    Also in a process that is not featx's own: nobody who calls featx has asked for it. Who has
    imported ``openvino_telemetry`` keeps it.
    """
    with _hiding, _hiding_modules([_REPORTS]):
        yield


@contextlib.contextmanager
def _hiding_modules(names: Iterable[str]) -> Iterator[None]:
    """Make it an error to import modules; those that were imported before are there again after."""
    before = {name: sys.modules.get(name) for name in names}
    for name in before:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    interactive = sys.modules.get("IPython.core.interactiveshell")
    shell = None if interactive is None else interactive.InteractiveShell._instance
    return getattr(shell, "kernel", None) is not None


def is_watched() -> bool:
    """Whether a person looks on: in a notebook, or on a terminal to which stderr goes."""
    return is_notebook() or (sys.stderr is not None and sys.stderr.isatty())


@contextlib.contextmanager
def environment(variables: Mapping[str, str], restored: Iterable[str] = ()) -> Iterator[None]:
    """Set environment variables for as long as this is held; by one thread at a time.

    Args:
        variables: Names → values.
        restored: Names of others that may be set meanwhile, and are then as they were before.
    """
    with _environment:
        before = {name: os.environ.get(name) for name in (*variables, *restored)}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@contextlib.contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Hold back what this thread logs below the level of errors; other threads go on logging.

    Args:
        names: Names of loggers, not of their parents: a filter is not inherited.
    """
    import logging

    owner = threading.get_ident()

    def passes(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or threading.get_ident() != owner

    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(passes)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(passes)


@contextlib.contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Send to stderr what foreign code prints, if the process is featx's own: stdout is results."""
    with contextlib.redirect_stdout(sys.stderr) if _is_own else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def stderr_without(pattern: re.Pattern[bytes]) -> Iterator[None]:
    """Keep lines that match a pattern off stderr, if the process is featx's own or is watched.

    What libraries write directly to the file descriptor, no setting of Python stops. Other lines
    are passed on as they come, also those of other threads and of programs that they start.
    """
    if not (_is_own or is_watched()):
        yield
        return
    with _redirecting:  # Of two threads, the second would put back the first one's pipe.
        yield from _filter_stderr(pattern)


def _filter_stderr(pattern: re.Pattern[bytes]) -> Iterator[None]:
    try:
        saved = os.dup(2)
    except OSError:  # No stderr at all: nothing to keep quiet.
        yield
        return
    end, begin = os.pipe()
    filtering = threading.Thread(
        target=_pass_lines, args=(end, saved, pattern), name="featx and stderr", daemon=True
    )
    filtering.start()
    _flush_stderr()
    os.dup2(begin, 2)
    os.close(begin)
    try:
        yield
    finally:
        _flush_stderr()
        os.dup2(saved, 2)
        filtering.join(PROGRAMS_SECONDS)  # It ends when nobody can write to it any more.


PROGRAMS_SECONDS = 0.5
"""How long to wait for programs that were started meanwhile and write to the same place."""


def _pass_lines(source: int, target: int, pattern: re.Pattern[bytes]) -> None:
    """Copy lines from one file descriptor to another, without those that match a pattern."""
    with open(source, "rb") as lines, open(target, "wb", buffering=0) as stderr:
        for line in lines:
            if not pattern.match(line):
                with contextlib.suppress(OSError):  # The terminal is gone.
                    stderr.write(line)


def _flush_stderr() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
