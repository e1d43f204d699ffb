"""Work that takes long: once for each version, one after the other, and never in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from types import SimpleNamespace
from typing import Any

import pytest

from featx.serving import chores as chores_module
from featx.serving.chores import ChangedMeanwhile, Chore, ChoreFailed, Chores, GivenUp


def version(name: str, *, is_current: bool = True) -> Any:
    return SimpleNamespace(version=name, is_current=lambda: is_current)


@pytest.fixture
def chores() -> Iterator[Chores]:
    chores = Chores()
    yield chores
    chores.close()


def test_work_is_done_once_for_each_version(chores: Chores) -> None:
    made: list[str] = []

    def make(snapshot: Any, _: Chore) -> str:
        made.append(snapshot.version)
        return f"map of {snapshot.version}"

    for name in ("1", "1", "2"):
        assert chores.get("map", version(name), make).promise.result(5) == f"map of {name}"
    assert made == ["1", "2"]


def test_errors_are_those_of_who_asks_and_the_next_is_done(chores: Chores) -> None:
    with pytest.raises(ZeroDivisionError):
        chores.get("map", version("1"), lambda *_: 1 / 0).promise.result(5)
    with pytest.raises(ChangedMeanwhile):
        chores.get("audit", version("1", is_current=False), lambda *_: 1).promise.result(5)
    assert chores.get("duplicates", version("1"), lambda *_: 3).promise.result(5) == 3


def test_what_was_not_begun_is_not_done_for_an_old_version(chores: Chores) -> None:
    begun, free = threading.Event(), threading.Event()

    def hold(*_: Any) -> bool:
        begun.set()
        return free.wait(5)

    first = chores.get("map", version("1"), hold).promise
    waiting = chores.get("audit", version("1"), hold).promise
    assert begun.wait(5)
    new = chores.get("map", version("2"), lambda *_: "new").promise
    free.set()
    assert (first.result(5), new.result(5)) == (True, "new")
    with pytest.raises(CancelledError):
        waiting.result(5)


def test_what_takes_long_does_not_keep_a_process(chores: Chores) -> None:
    begun, free = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def hold(*_: Any) -> None:
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


def test_it_says_how_far_it_is(chores: Chores) -> None:
    begun, free = threading.Event(), threading.Event()

    def make(_: Any, chore: Chore) -> str:
        chore.note("a sample of 9 images")
        chore.start(10, "vectors")
        chore.advance(4)
        begun.set()
        free.wait(5)
        return "map"

    chore = chores.get("map", version("1"), make)
    second = chores.get("audit", version("1"), make)
    assert begun.wait(5)
    expected = {"stage": "vectors", "done": 4, "total": 10, "seconds": 0}
    assert chore.describe() == expected | {"remarks": ["a sample of 9 images"]}
    assert second.describe()["stage"] == "waiting for other work"
    free.set()
    assert chore.promise.result(5) == "map"


def test_what_nobody_asks_for_any_more_is_given_up_and_begun_anew(
    chores: Chores, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def never(_: Any, chore: Chore) -> None:
        begun.set()
        while True:
            chore.advance(1)
            threading.Event().wait(0.001)

    chore = chores.get("map", version("1"), never)
    assert begun.wait(5)
    monkeypatch.setattr(chores_module, "PATIENCE", 0.0)
    with pytest.raises(GivenUp):
        chore.promise.result(5)
    monkeypatch.setattr(chores_module, "PATIENCE", 150.0)
    assert chores.get("map", version("1"), lambda *_: "map").promise.result(5) == "map"


def test_work_for_a_store_that_has_changed_is_given_up(chores: Chores) -> None:
    begun = threading.Event()

    def never(_: Any, chore: Chore) -> None:
        begun.set()
        while chore.is_wanted:
            threading.Event().wait(0.001)
        chore.trying("more")

    old = chores.get("map", version("1"), never)
    assert begun.wait(5)
    assert chores.get("map", version("2"), lambda *_: "new").promise.result(5) == "new"
    with pytest.raises(GivenUp):
        old.promise.result(5)


def test_a_store_that_was_away_for_a_moment_is_tried_again(chores: Chores) -> None:
    away = version("1", is_current=False)
    failed = chores.get("map", away, lambda *_: pytest.fail("it was begun"))
    with pytest.raises(ChangedMeanwhile):
        failed.promise.result(5)
    assert chores.get("map", version("1"), lambda *_: "map") is failed  # Who asked is told.
    assert chores.get("map", version("1"), lambda *_: "map").promise.result(5) == "map"


def test_a_process_that_failed_is_told_once_and_tried_again(chores: Chores) -> None:
    def fail(*_: Any) -> None:
        raise ChoreFailed("no memory")

    failed = chores.get("map", version("1"), fail)
    with pytest.raises(ChoreFailed):
        failed.promise.result(5)
    assert chores.get("map", version("1"), fail) is failed
    assert chores.get("map", version("1"), lambda *_: "map").promise.result(5) == "map"
