"""After a fork: libraries whose threads are gone, and locks that nobody releases.

A forked process has the memory of its parent, but of its threads only the one that forked. Whatever
waits for another one waits forever: TensorFlow and OpenVINO for those that compute.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading

TENSORFLOW, OPENVINO, FAISS = "TensorFlow", "OpenVINO", "FAISS"

_NOT_HERE = -1

_started: dict[str, int] = {}
"""Libraries whose threads have been started → the process in which that was."""


def start_threads(library: str) -> None:
    """Note that a library starts threads in this process.

    Raises:
        ForkError: If it did before this process was forked.
    """
    refuse_lost_threads(library)
    _started[library] = os.getpid()


def refuse_lost_threads(library: str) -> None:
    """Refuse to use a library that started threads before this process was forked.

    Raises:
        ForkError: If it did.
    """
    from featx.errors import ForkError

    if has_lost_threads(library):
        raise ForkError(
            f"{library} cannot run in a process that was forked after {library} was used: its "
            "threads stayed behind, and it would wait for them forever. Start processes with "
            "multiprocessing.get_context('spawn'), or load and use models only after the fork."
        )


def has_lost_threads(library: str) -> bool:
    """Whether a library started threads before this process was forked."""
    process = os.getpid()
    return _started.get(library, process) != process


class ProcessLock:
    """A lock between the threads of a process.

    A forked process gets a new one: the thread that held the old one does not exist there.

    Example:
        >>> with ProcessLock():
        ...     print("alone")
        alone
    """

    def __init__(self) -> None:
        self._locks: dict[int, threading.Lock] = {}

    def __enter__(self) -> None:
        self._locks.setdefault(os.getpid(), threading.Lock()).acquire()

    def __exit__(self, *exception: object) -> None:
        self._locks[os.getpid()].release()


def _note_tensorflow() -> None:
    """Note in a forked process that TensorFlow was running, also if the program itself used it."""
    tensorflow = sys.modules.get("tensorflow")
    with contextlib.suppress(Exception):  # Of a module that is only half imported.
        if tensorflow is not None and _is_running(tensorflow.config.threading):
            _started.setdefault(TENSORFLOW, _NOT_HERE)


def _is_running(settings: object) -> bool:
    """Whether TensorFlow has started its threads: from then on, their number is fixed."""
    get, change = (
        getattr(settings, f"{name}_inter_op_parallelism_threads") for name in ("get", "set")
    )
    number = get()
    try:
        change(number + 1)
    except RuntimeError:
        return True
    change(number)
    return False


if hasattr(os, "register_at_fork"):  # Not on Windows, which knows no forks.
    os.register_at_fork(after_in_child=_note_tensorflow)
