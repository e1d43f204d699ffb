"""A pool of workers on a cluster of Ray, of which any may die at any moment."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import socket
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from featx.errors import ClusterError, FeatxError, StoreError, first_line
from featx.events import Listener
from featx.machine import limit_cores
from featx.ray.pool_size import PoolSize
from featx.units import format_count

MOST_TRIES = 4
"""How often a task is tried whose worker dies: a picture may be what kills it."""

MOST_DEATHS = 20
"""Workers that may die one after the other, without a result of any in between; more where one
node may have had so many."""

TASKS_AHEAD = 2
"""Tasks that a worker has at a time: it begins one while it writes the rows of another."""

PATIENCE_SECONDS = 10.0
"""How long to wait before saying that no worker has begun."""


class Named(Protocol):
    """A task, known by its name."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


TaskT = TypeVar("TaskT", bound=Named)
ResultT = TypeVar("ResultT")


def share_machine(threads: int) -> None:
    """Let this process take its share of a machine on which others compute, too.

    Args:
        threads: Cores that it computes on.
    """
    limit_cores(threads)
    # TensorFlow reads these when it begins. Without the second, it takes all memory of a GPU.
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


class Actor:
    """What runs on a node: one worker, made there. It answers with errors, as Ray renames them.

    Args:
        threads: Cores that it computes on.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._worker: Any = None

    def start(self, make: Callable[[], Any]) -> str | FeatxError:
        """Make the worker; return the name of the machine, or why there is none."""
        share_machine(self._threads)
        try:
            self._worker = make()
        except FeatxError as error:
            return error
        return socket.gethostname()

    def do(self, task: Any) -> Any:
        """Do a task; return its result, or why there is none."""
        try:
            return self._worker.do(task)
        except FeatxError as error:
            return error


@dataclass(slots=True, eq=False)
class _Member:
    """A worker of the pool: its actor, and where it is; nowhere while it begins."""

    actor: Any
    num_gpus: float
    host: str = ""


@dataclass(frozen=True, slots=True)
class _Call(Generic[TaskT]):
    """What a worker was told to do: a task, or to begin; perhaps that alone."""

    member: _Member
    task: TaskT | None = None
    is_alone: bool = False


class Pool(Generic[TaskT, ResultT]):
    """Workers that do tasks.

    One that dies is replaced, and its tasks are done by others, each alone, to find out which one
    kills workers. One that cannot work where it is (a full disk, a folder that is missing) is left
    out, as long as there are others.

    Args:
        ray: The module of Ray, connected.
        size: How many workers.
        make: Makes a worker, with a method ``do``; it is sent to the nodes.
        listener: Told of workers that are lost.
    """

    def __init__(
        self, ray: Any, size: PoolSize, make: Callable[[], Any], listener: Listener
    ) -> None:
        self._ray = ray
        self._size = size
        with _sending("The model"):
            self._make = ray.put(make)
        # By the GPUs of each: if those with GPUs have none, all workers are alike.
        self._wanted = Counter({size.num_gpus: size.count}) + Counter({0.0: size.cpu_workers})
        self._actor_classes = {
            num_gpus: ray.remote(
                num_cpus=size.num_cpus, num_gpus=num_gpus, max_concurrency=TASKS_AHEAD
            )(Actor)
            for num_gpus in self._wanted
        }
        self._listener = listener
        self._members: list[_Member] = []
        self._calls: dict[Any, _Call[TaskT]] = {}  # By what Ray returned for them.
        self._again: deque[TaskT] = deque()
        self._tries: Counter[str] = Counter()
        self._deaths = 0
        self._most_deaths = max(MOST_DEATHS, 2 * size.total)
        self._is_told = False  # That no worker has begun.

    def run(self, take: Callable[[], TaskT | None]) -> Generator[ResultT]:
        """Do tasks; yield results as they come.

        Args:
            take: Returns the next task; None at the end. It is asked when a worker has room for it.

        Raises:
            ClusterError: If workers die again and again, or the cluster is gone.
            FeatxError: If no worker can work; that of the last one.
        """
        try:
            while True:
                self._hand_out(take)
                is_busy = any(call.task is not None for call in self._calls.values())
                if not is_busy and any(member.host for member in self._members):
                    return  # Who is free was given nothing: that is all.
                yield from self._collect()
        except (ConnectionError, self._ray.exceptions.RayError) as error:
            raise ClusterError(
                f"The cluster is gone: {_find_reason(error)}. What was computed is kept: the same "
                "command goes on from there."
            ) from error
        finally:
            self._end()

    def _hand_out(self, take: Callable[[], TaskT | None]) -> None:
        """Replace workers that are gone, and give tasks to those that have room."""
        there = Counter(member.num_gpus for member in self._members)
        for num_gpus in (self._wanted - there).elements():
            actor = self._actor_classes[num_gpus].remote(self._size.threads)
            member = _Member(actor, num_gpus)
            self._members.append(member)
            self._calls[member.actor.start.remote(self._make)] = _Call(member)
        while (free := self._find_free()) is not None:
            is_alone = bool(self._again)
            task = self._again.popleft() if is_alone else take()
            if task is None:
                return
            with _sending("These images"):
                call = free.actor.do.remote(task)
            self._calls[call] = _Call(free, task, is_alone)

    def _find_free(self) -> _Member | None:
        """Return the worker with the fewest tasks, if it has room for one."""
        loads = {member: 0 for member in self._members if member.host}
        for call in self._calls.values():
            if call.task is not None:
                loads[call.member] += TASKS_AHEAD if call.is_alone else 1
        # A second one only when all have one, and nothing waits that has to be done alone.
        room = 1 if self._again or len(loads) < self._wanted.total() else TASKS_AHEAD
        free = min(loads, key=lambda member: loads[member], default=None)
        return free if free is not None and loads[free] < room else None

    def _collect(self) -> Iterator[ResultT]:
        """Wait for a call to end; yield its result, if it has one."""
        done, _ = self._ray.wait([*self._calls], num_returns=1, timeout=PATIENCE_SECONDS)
        self._tell_if_none_works(done)
        for ended in done:
            call = self._calls[ended]
            try:
                result = self._ray.get(ended)
            except self._ray.exceptions.RayTaskError as error:  # An error of ours.
                raise ClusterError(f"A worker failed: {first_line(error.cause)}") from error
            except self._ray.exceptions.RayError as error:
                self._bury(call.member, error)
                continue
            if isinstance(result, FeatxError):
                self._leave_out(call.member, result)
                continue
            del self._calls[ended]
            if call.task is None:
                call.member.host = result
            else:
                self._deaths = 0
                yield result

    def _tell_if_none_works(self, done: Sequence[Any]) -> None:
        """Say once, until a call ends, that all workers are still to begin."""
        if done:
            self._is_told = False
        elif not self._is_told and not any(member.host for member in self._members):
            self._listener.note("no worker has begun yet: perhaps the cluster has no room for one")
            self._is_told = True

    def _bury(self, member: _Member, error: Exception) -> None:
        """Give the tasks of a worker that died to others."""
        tasks = self._remove(member)
        self._deaths += 1
        reason = _find_reason(error)
        if len(tasks) == 1:  # Of several, it may have been any.
            self._tries[tasks[0].name] += 1
            if self._tries[tasks[0].name] == MOST_TRIES:
                raise ClusterError(
                    f"{MOST_TRIES} workers died one after the other at the same images: {reason}. "
                    "What was computed is kept: the same command goes on from there."
                )
        if self._deaths == self._most_deaths:
            raise ClusterError(
                f"{self._deaths} workers died one after the other: {reason}. What was computed is "
                "kept: the same command goes on from there."
            )
        where = f" on {member.host}" if member.host else ""
        self._listener.note(f"a worker{where} has died: another one takes its place")

    def _leave_out(self, member: _Member, error: FeatxError) -> None:
        """Go on without a worker that cannot work; only what is about its machine can be."""
        self._remove(member)
        self._wanted[member.num_gpus] -= 1
        if self._wanted.total() == 0 or not isinstance(error, StoreError):
            raise error
        left = format_count(self._wanted.total(), "worker")
        self._listener.note(f"one worker is left out, {left} go on: {error}")

    def _remove(self, member: _Member) -> list[TaskT]:
        """End a worker; return its tasks, which wait for others."""
        self._kill(member)
        self._members.remove(member)
        calls = [(key, call) for key, call in self._calls.items() if call.member is member]
        for key, _ in calls:
            del self._calls[key]
        tasks = [call.task for _, call in calls if call.task is not None]
        self._again.extend(tasks)
        return tasks

    def _kill(self, member: _Member) -> None:
        try:
            self._ray.kill(member.actor)
        except Exception:  # The cluster is gone, or the actor was never there.
            return

    def _end(self) -> None:
        """End all workers, whatever they do."""
        for member in self._members:
            self._kill(member)


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_RAISED = re.compile(r"^ *((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.MULTILINE)


def _find_reason(error: Exception) -> str:
    """Return what an error of Ray is about: the last exception in its text, else its first line.

    Example:
        >>> _find_reason(OSError("Actor() died\\nImportError: there is no 'featx'."))
        "ImportError: there is no 'featx'"
    """
    raised = _RAISED.findall(_COLOURS.sub("", str(error)))
    return (raised[-1] if raised else first_line(error)).rstrip(".")


@contextlib.contextmanager
def _sending(what: str) -> Iterator[None]:
    """Say what cannot be sent to workers: objects may hold what only this process has."""
    try:
        yield
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise ClusterError(
            f"{what} cannot be sent to workers: {first_line(error).rstrip('.')}. Name files that "
            "all machines have instead."
        ) from error
