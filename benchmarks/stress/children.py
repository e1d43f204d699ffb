"""Work in forked children of a warm process: to be killed, and to use all cores."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 60.0
"""A child that runs longer hangs."""


_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes:
        signal: The signal that ended it; 0 if it ended by itself.
        error: The exception that it ended with, or None.
        trace: Where it was raised.
        result: What its action returned.
    """

    signal: int = 0
    error: BaseException | None = None
    trace: str = ""
    result: Any = None

    @property
    def is_done(self) -> bool:
        """Whether it came to its end."""
        return not self.signal and self.error is None


def fork() -> int:
    """Fork this process; its other threads (of NumPy's libraries) are idle."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def start(action: Callable[[], Any], answer: Path, *, ends_properly: bool = False) -> int:
    """Start a child that writes what came of an action into a file; return its process number.

    Args:
        action: What it does.
        answer: The file, to be read by `read_answer`.
        ends_properly: End as a program does, with what its libraries do then: HDF5 closes
            its files, and crashes if it cannot.
    """
    child = fork()
    if child:
        return child
    error, trace, result = None, "", None
    try:
        result = action()
    except BaseException as caught:
        error, trace = caught, traceback.format_exc()
    try:
        content = pickle.dumps((error, trace, result))
        pickle.loads(content)
    except Exception:  # Some exceptions cannot be rebuilt from their arguments.
        content = pickle.dumps((RuntimeError(trace), trace, None))
    answer.write_bytes(content)
    if ends_properly:
        ctypes.CDLL(None).exit(0)
    os._exit(0)


def read_answer(answer: Path, status: int) -> Outcome:
    """Return how a child ended, from its exit status and the file that it wrote."""
    if os.WIFSIGNALED(status):
        return Outcome(signal=os.WTERMSIG(status))
    error, trace, result = pickle.loads(answer.read_bytes())
    answer.unlink()
    return Outcome(0, error, trace, result)


def run_child(
    action: Callable[[], Any], *, kill_after: float | None = None, ends_properly: bool = False
) -> Outcome:
    """Run an action in a child, and kill it after some seconds if asked to."""
    answer = Path(tempfile.gettempdir()) / f"featx-stress-{os.getpid()}-{next(_NUMBERS)}"
    child = start(action, answer, ends_properly=ends_properly)
    deadline = time.monotonic() + (LONGEST_SECONDS if kill_after is None else kill_after)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return read_answer(answer, status)
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGABRT if kill_after is None else signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            with contextlib.suppress(FileNotFoundError):
                if not os.WIFSIGNALED(status):
                    return read_answer(answer, status)
                answer.unlink()  # Killed behind its last line.
            return read_answer(answer, status)
        time.sleep(0.0005)


def run_parallel(
    tasks: Sequence[Callable[[], Any]], jobs: int, done: Callable[[Any], None] | None = None
) -> list[Any]:
    """Run tasks in children, `jobs` at a time; return their results in order.

    Args:
        tasks: What the children do.
        jobs: How many run at a time.
        done: Called with each result as it comes.

    Raises:
        RuntimeError: If one of them ended with an exception.
    """
    with tempfile.TemporaryDirectory() as folder:
        answers = [Path(folder) / str(number) for number in range(len(tasks))]
        running: dict[int, int] = {}
        results: list[Any] = [None] * len(tasks)
        problems = []
        for number in [*range(len(tasks)), None]:
            while running and (number is None or len(running) >= jobs):
                child, status = os.wait()
                ended = running.pop(child)
                outcome = read_answer(answers[ended], status)
                if not outcome.is_done:
                    problems.append(f"task {ended}: signal {outcome.signal}, {outcome.trace}")
                results[ended] = outcome.result
                if done is not None and outcome.is_done:
                    done(outcome.result)
            if number is not None:
                running[start(tasks[number], answers[number])] = number
    if problems:
        raise RuntimeError("\n".join(problems))
    return results
