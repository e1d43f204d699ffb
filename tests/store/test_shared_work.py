"""Work that several processes do for one store: each task counts once, whoever dies when."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from featx.errors import StoreError
from featx.store.parts import list_parts, list_work
from featx.store.shared_work import SharedWork, do_once, take_in_abandoned


def making(*texts: str) -> Callable[[Path], Mapping[str, Any]]:
    """Return what writes files as if they were parts."""

    def make(folder: Path) -> Mapping[str, Any]:
        for number, text in enumerate(texts):
            (folder / f"part-{number:06d}.h5").write_text(text, encoding="utf-8")
        return {"texts": list(texts)}

    return make


def read(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in list_parts(folder)]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "features.h5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features.h5.parts"


def test_parts_of_finished_tasks_follow_those_that_are_there(folder: Path) -> None:
    folder.mkdir()
    (folder / "part-000004.h5").write_text("old", encoding="utf-8")
    work = SharedWork(folder, 3)
    assert do_once(work.path, "one", making("a", "b")) == {"texts": ["a", "b"]}
    do_once(work.path, "two", making("c"))
    work.take_in("two")
    work.take_in("one")
    assert read(folder) == ["old", "c", "a", "b"]
    assert [path.name for path in list_parts(folder)][1:] == [
        f"part-00000{number}.h5" for number in (5, 6, 7)
    ]
    work.close()
    assert list_work(folder) == []


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_task_that_is_done_twice_counts_once(folder: Path, is_taken: bool) -> None:
    work = SharedWork(folder, 0)
    results = []

    def slow(own: Path) -> Mapping[str, Any]:
        results.append(do_once(work.path, "one", making("first")))
        if is_taken:
            work.take_in("one")
        return making("second")(own)

    results.append(do_once(work.path, "one", slow))  # The other one is done meanwhile.
    results.append(do_once(work.path, "one", making("third")))
    assert results == [{"texts": ["first"]}] * 3
    work.take_in("one")
    assert read(folder) == ["first"]
    assert os.listdir(work.path) == ["one"]


def test_what_fails_leaves_nothing_and_can_be_done_again(folder: Path) -> None:
    work = SharedWork(folder, 0)

    def fail(own: Path) -> Mapping[str, Any]:
        making("half")(own)
        raise StoreError("full")

    with pytest.raises(StoreError, match="full"):
        do_once(work.path, "one", fail)
    assert os.listdir(work.path) == []
    do_once(work.path, "one", making("whole"))
    work.close()
    assert read(folder) == ["whole"]


def test_what_is_finished_when_a_writer_ends_is_taken(folder: Path) -> None:
    work = SharedWork(folder, 0)
    do_once(work.path, "one", making("a"))
    do_once(work.path, "two", making("b"))
    work.take_in("two")
    (work.path / "three.0123.tmp").mkdir()
    making("half")(work.path / "three.0123.tmp")
    work.close()
    assert read(folder) == ["b", "a"]


def test_the_next_writer_takes_what_a_killed_one_has_left(output: Path, folder: Path) -> None:
    killed = SharedWork(folder, 0)
    do_once(killed.path, "one", making("a", "b"))
    killed.take_in("one")
    do_once(killed.path, "two", making("c"))
    take_in_abandoned(output)
    assert read(folder) == ["a", "b", "c"]
    assert list_work(folder) == []
    take_in_abandoned(output)
    assert read(folder) == ["a", "b", "c"]


def test_who_works_for_a_killed_writer_finds_no_place(output: Path, folder: Path) -> None:
    killed = SharedWork(folder, 0)

    def slow(own: Path) -> Mapping[str, Any]:
        take_in_abandoned(output)
        assert not own.exists()
        return {}

    with pytest.raises(StoreError, match="could not be written"):
        do_once(killed.path, "one", slow)
    with pytest.raises(StoreError, match="could not be written"):
        do_once(killed.path, "two", making("late"))
    assert not folder.exists() or os.listdir(folder) == []


@pytest.mark.parametrize("calls", range(8))
def test_taking_in_may_be_killed_after_any_step(
    output: Path, folder: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = SharedWork(folder, 0)
    do_once(killed.path, "one", making("a", "b"))
    do_once(killed.path, "two", making("c"))
    left = [calls]

    def count(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", count(os.rename))
        patch.setattr(shutil, "rmtree", count(shutil.rmtree))
        try:
            take_in_abandoned(output)
        except KeyboardInterrupt:
            assert calls < 5
    take_in_abandoned(output)
    assert sorted(read(folder)) == ["a", "b", "c"]
    assert list_work(folder) == []


def test_a_record_outlives_its_parts(folder: Path) -> None:
    work = SharedWork(folder, 0)
    do_once(work.path, "one", making("a"))
    work.take_in("one")
    record = (work.path / "one" / "record.json").read_text(encoding="utf-8")
    assert json.loads(record) == {"texts": ["a"]}
