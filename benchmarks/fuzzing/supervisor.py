"""Run cases in forked processes: what crashes, hangs or swells is one case, not the run."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import tempfile
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

READ = "read fine"
REFUSED = "stated error"
OTHER_VALUES = "other values"
CRASH = "crash"
HANG = "hang"
MEMORY = "memory"
EXCEPTION = "other exception"

OUTCOMES = (READ, REFUSED, OTHER_VALUES, CRASH, HANG, MEMORY, EXCEPTION)
OFFENCES = (OTHER_VALUES, CRASH, HANG, MEMORY, EXCEPTION)

CASES_PER_CHILD = 40
POLL_SECONDS = 0.02
"""Memory is looked at this often while a case runs; what a case took is measured exactly."""


class OtherValues(Exception):
    """Something damaged was read without an error, and is not what was written."""


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged file.

    Attributes:
        name: Which, for the report: kind and number.
        kind: The row of the table that it counts in.
        run: Reads it; returns if that went well.
        save: Writes it to a folder, for somebody to look at.
        seconds: The wall-clock limit.
    """

    name: str
    kind: str
    run: Callable[[], object]
    save: Callable[[Path], object]
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case: its outcome, why, how long it took and its peak of memory.

    `peak` is in bytes above what the process held before; `printed` is what libraries wrote
    to stdout and stderr.
    """

    case: Case
    outcome: str
    detail: str
    seconds: float
    peak: int
    printed: str = ""


@dataclass(slots=True)
class Child:
    """A forked process and the case that it is at."""

    pid: int
    pipe: IO[bytes]
    cases: deque[Case]
    output: IO[bytes]
    baseline: int = 0
    begun: float = field(default_factory=time.monotonic)
    received: bytes = b""
    peak: int = 0


def run_cases(
    cases: Sequence[Case],
    *,
    stated: type[Exception],
    memory: int,
    workers: int = 1,
) -> Iterator[Result]:
    """Run cases in forked children, several in each, and say what became of every one.

    Args:
        cases: What to run. A child that dies or is killed is followed by one that begins with
            the case behind the one that it was at.
        stated: The error that a damaged file may raise.
        memory: Most bytes that a case may take above what the process held before.
        workers: Children at a time.

    Yields:
        One result for each case, in the order in which they end.
    """
    todo = [
        deque(cases[start : start + CASES_PER_CHILD])
        for start in range(0, len(cases), CASES_PER_CHILD)
    ]
    todo.reverse()
    running: list[Child] = []
    try:
        while todo or running:
            while todo and len(running) < workers:
                running.append(_start(todo.pop(), stated))
            select.select([child.pipe for child in running], [], [], POLL_SECONDS)
            for child in list(running):
                yield from _listen(child, memory)
                outcome = _trouble(child, memory)
                if outcome is None and _is_alive(child):
                    continue
                suspect = child.cases[0] if child.cases else None
                running.remove(child)
                status = end_child(child)
                yield from _listen(child, memory)  # What it said before it died.
                if outcome and child.cases and child.cases[0] is not suspect:
                    todo.append(child.cases)  # The suspect ended in time; the next was only begun.
                elif child.cases:
                    result, rest = _attribute(child, outcome or CRASH, status)
                    yield result
                    if rest:
                        todo.append(rest)
                child.pipe.close()
                child.output.close()
    finally:
        for child in running:
            end_child(child)


def _start(cases: deque[Case], stated: type[Exception]) -> Child:
    reading, writing = os.pipe()
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child has ended
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads: those of numerical libraries, which the
        # children do not use (they run with one thread).
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setpgid(0, 0)
            os.close(reading)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            _work(cases, stated, writing)
            status = 0
        finally:
            os._exit(status)  # No clean-up: what is open belongs to the parent.
    os.close(writing)
    os.set_blocking(reading, False)
    return Child(pid, os.fdopen(reading, "rb", buffering=0), cases, output)


def _work(cases: deque[Case], stated: type[Exception], pipe: int) -> None:
    """Run cases, in the child: one line of JSON before and one after each."""
    for case in cases:
        os.ftruncate(1, 0)
        os.lseek(1, 0, os.SEEK_SET)
        _reset_peak()
        before = _memory_of("self", "VmRSS")
        _send(pipe, {"baseline": before})
        start = time.monotonic()
        outcome, detail = READ, ""
        try:
            case.run()
        except stated as error:
            outcome, detail = REFUSED, str(error)
        except OtherValues as error:
            outcome, detail = OTHER_VALUES, str(error)
        except MemoryError:
            outcome, detail = MEMORY, "MemoryError"
        except BaseException:
            outcome, detail = EXCEPTION, traceback.format_exc(limit=-3)
        seconds = time.monotonic() - start
        peak = max(0, _memory_of("self", "VmHWM") - before)
        printed = os.pread(1, 2000, 0).decode("utf-8", "replace")
        _send(
            pipe,
            {
                "outcome": outcome,
                "detail": detail
                if len(detail) <= 2000
                else f"{detail[:1000]} ... {detail[-1000:]}",
                "seconds": seconds,
                "peak": peak,
                "printed": printed.strip("\0\n "),
            },
        )


def _listen(child: Child, memory: int) -> Iterator[Result]:
    """Yield the results that a child has sent."""
    while True:
        data = child.pipe.read(65536)
        if not data:
            break
        child.received += data
    *lines, child.received = child.received.split(b"\n")
    for line in lines:
        message = json.loads(line)
        child.begun = time.monotonic()
        if "baseline" in message:
            child.baseline, child.peak = message["baseline"], 0
            continue
        case = child.cases.popleft()
        result = Result(case=case, **message)
        if result.peak > memory and result.outcome in (READ, REFUSED):
            detail = f"{result.peak >> 20} MiB ({result.outcome}: {result.detail})"
            result = Result(case, MEMORY, detail, result.seconds, result.peak, result.printed)
        yield result


def _trouble(child: Child, memory: int) -> str | None:
    """Say what is wrong with the case that a child is at, if anything is."""
    if not child.cases:
        return None
    if child.baseline:
        child.peak = max(child.peak, _memory_of(str(child.pid), "VmRSS") - child.baseline)
        if child.peak > memory:
            return MEMORY
    return HANG if time.monotonic() - child.begun > child.cases[0].seconds else None


def _attribute(child: Child, outcome: str, status: int) -> tuple[Result, deque[Case]]:
    """Blame the case that a child was at; return it and the cases behind it."""
    seconds = time.monotonic() - child.begun
    child.output.seek(0)
    printed = child.output.read(2000).decode("utf-8", "replace").strip("\0\n ")
    detail = f"more than {child.peak >> 20} MiB" if outcome == MEMORY else f"{seconds:.1f} s"
    if outcome == CRASH:
        died = os.WIFSIGNALED(status)
        detail = signal.Signals(os.WTERMSIG(status)).name if died else f"status {status}"
    case = child.cases.popleft()
    return Result(case, outcome, detail, seconds, child.peak, printed), child.cases


def _is_alive(child: Child) -> bool:
    """Whether a child still runs; one that ended stays to be waited for."""
    exited = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, child.pid, exited) is None


def end_child(child: Child) -> int:
    """Kill a child, with what it started, and return its wait status."""
    if _is_alive(child):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        os.kill(child.pid, signal.SIGKILL)  # Had it not got as far as a group of its own.
    return os.waitpid(child.pid, 0)[1]


def _send(pipe: int, message: dict[str, object]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(pipe, data) :]


def _reset_peak() -> None:
    """Let the kernel measure this process's peak of memory anew (Linux, proc(5))."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory_of(process: str, field: str) -> int:
    """Return a line of a process's status in bytes; 0 where there is none.

    Linux counts roughly here: some hundred KiB too few or too many for each core (proc(5)).
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) << 10
    return 0
