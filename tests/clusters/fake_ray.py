"""What `featx.ray` uses of Ray, in this process: actors that can be killed at any moment."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest


class RayError(Exception):
    """Of Ray: an actor or a node is gone."""


class RayTaskError(RayError):
    """Of Ray: what was called raised an error, its cause."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Call:
    """What is to be computed when it is waited for."""

    def __init__(self, actor: FakeActor, method: str, argument: Any) -> None:
        self.actor, self.method = actor, method
        self.argument = pickle.loads(pickle.dumps(argument))
        self.result: Any = None
        self.error: RayError | None = None

    def run(self) -> None:
        if self.actor.is_dead:
            self.error = RayError("it was killed before")
            return
        try:
            method = getattr(self.actor.made, self.method)
            self.result = pickle.loads(pickle.dumps(method(self.argument)))
        except Exception as error:
            self.error = RayTaskError(error)


class FakeActor:
    """The handle of an actor."""

    def __init__(self, made: Any, options: Mapping[str, float]) -> None:
        self.made, self.options, self.is_dead = made, options, False
        self.start, self.do = (
            SimpleNamespace(remote=lambda argument, name=name: Call(self, name, argument))
            for name in ("start", "do")
        )


class FakeRay:
    """The module.

    Args:
        draw: Chooses which call ends next.
        on_call: Called with each call before it is run; may kill its actor, run it, or raise.
        cpus: Cores of each node.
    """

    __version__ = "2.0"
    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(
        self,
        draw: random.Random,
        on_call: Callable[[Call], None] = lambda call: None,
        cpus: Sequence[float] = (1, 1),
    ) -> None:
        self.actors: list[FakeActor] = []
        self._draw, self._on_call, self._cpus = draw, on_call, cpus

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": float(cpus)}} for cpus in self._cpus]

    def put(self, value: Any) -> Any:
        return pickle.loads(pickle.dumps(value))

    def remote(self, **options: float) -> Callable[[type], Any]:
        def make(kind: type) -> Any:
            def start(*arguments: Any) -> FakeActor:
                self.actors.append(FakeActor(kind(*arguments), options))
                return self.actors[-1]

            return SimpleNamespace(remote=start)

        return make

    def wait(
        self, calls: Sequence[Call], num_returns: int, timeout: float
    ) -> tuple[list[Call], list[Call]]:
        call = self._draw.choice(calls)
        self._on_call(call)
        call.run()
        return [call], [each for each in calls if each is not call]

    def get(self, call: Call) -> Any:
        if call.error is not None:
            raise call.error
        return copy.copy(call.result)

    def kill(self, actor: FakeActor) -> None:
        actor.is_dead = True


@contextlib.contextmanager
def in_place_of_ray(patch: pytest.MonkeyPatch, ray: FakeRay) -> Iterator[FakeRay]:
    """Let `extract` find this, where it connects to a cluster."""
    with patch.context() as context:
        context.setattr(
            "featx.extraction.clustered.connected", lambda address: contextlib.nullcontext(ray)
        )
        context.setattr("featx.extraction.request.import_ray", lambda: None)
        # Of the process, in which there is more than one worker.
        context.setattr("featx.ray.pool.share_machine", lambda threads: None)
        yield ray
