"""The process that featx runs in: its environment, its streams and its loggers.

A library call is a guest: file descriptors, `sys.stdout`, environment, filters of warnings and
levels of loggers belong to the program that calls. The command line's process is featx's own. It
says so, and only there is text of other libraries kept away from stdout and off the screen.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from featx.forks import ProcessLock

if TYPE_CHECKING:  # The command line imports this module, and should start fast.
    import logging
    import re

_is_own = False
_environment = ProcessLock()


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
    """Keep lines that match a pattern off stderr, if the process is featx's own.

    What libraries write directly to the file descriptor, no setting of Python stops. It is held
    back, and the other lines are passed on at the end.
    """
    if not _is_own:
        yield
        return
    import tempfile

    try:
        saved = os.dup(2)
    except OSError:  # No stderr at all: nothing to keep quiet.
        yield
        return
    with tempfile.TemporaryFile() as captured:
        sys.stderr.flush()
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            captured.seek(0)
            kept = [line for line in captured if not pattern.match(line)]
            os.write(2, b"".join(kept))
