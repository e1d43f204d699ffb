"""Work that takes long: once for each version, one after the other, and never in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import pytest

from featx.serving.chores import ChangedMeanwhile, Chores


def version(name: str, *, is_current: bool = True) -> Any:
    return SimpleNamespace(version=name, is_current=lambda: is_current)


@pytest.fixture
def chores() -> Iterator[Chores]:
    chores = Chores()
    yield chores
    chores.close()


def test_work_is_done_once_for_each_version(chores: Chores) -> None:
    made: list[str] = []

    def make(snapshot: Any) -> str:
        made.append(snapshot.version)
        return f"map of {snapshot.version}"

    for name in ("1", "1", "2"):
        assert chores.get("map", version(name), make).result(5) == f"map of {name}"
    assert made == ["1", "2"]


def test_errors_are_those_of_who_asks_and_the_next_is_done(chores: Chores) -> None:
    with pytest.raises(ZeroDivisionError):
        chores.get("map", version("1"), lambda _: 1 / 0).result(5)
    with pytest.raises(ChangedMeanwhile):
        chores.get("audit", version("1", is_current=False), lambda _: 1).result(5)
    assert chores.get("duplicates", version("1"), lambda _: 3).result(5) == 3


def test_what_was_not_begun_is_not_done_for_an_old_version(chores: Chores) -> None:
    begun, free = threading.Event(), threading.Event()

    def hold(_: Any) -> bool:
        begun.set()
        return free.wait(5)

    first = chores.get("map", version("1"), hold)
    waiting = chores.get("audit", version("1"), hold)
    assert begun.wait(5)
    new = chores.get("map", version("2"), lambda _: "new")
    free.set()
    assert (first.result(5), new.result(5)) == (True, "new")
    with pytest.raises(CancelledError):
        waiting.result(5)


def test_what_takes_long_does_not_keep_a_process(chores: Chores) -> None:
    begun, free = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def hold(_: Any) -> None:
        threads.append(threading.current_thread())
        begun.set()
        free.wait(5)

    chores.get("map", version("1"), hold)
    assert begun.wait(5)
    chores.close()  # It does not wait.
    assert threads[0].is_alive()
    assert threads[0].daemon
    free.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
