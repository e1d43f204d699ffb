"""`extract` by workers, of which any may die at any moment: the store is that of one machine.

In this process, with what stands for Ray; `test_extraction_on_ray` has a real cluster.
"""

from __future__ import annotations

import errno
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import featx
from featx.errors import ClusterError, InvalidValue, StoreError, TooManyFailures
from featx.extraction import ExtractReport, tasks
from featx.extraction.division import Division
from featx.extraction.tasks import TaskWorker
from featx.images.roots import MEMORY
from featx.images.sources import ImageItem
from featx.store import parts
from featx.store.parts import list_work
from featx.testing import write_images
from tests.clusters.fake_ray import Call, FakeRay, in_place_of_ray
from tests.clusters.stores import check_same, read_all

Run = Callable[..., ExtractReport]


def slow_seeds(seeds: Iterable[int]) -> list[Any]:
    return [pytest.param(seed, marks=pytest.mark.slow) for seed in seeds]


@pytest.fixture(autouse=True)
def _many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of four images, as if they took as long."""
    monkeypatch.setattr("featx.extraction.division.FIRST_TASK", 4)
    monkeypatch.setattr("featx.extraction.division.TASK_SECONDS", 1e-9)


@pytest.fixture
def divided(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `extract` with workers in this process."""

    def divided(on_call: Callable[[Call], None] = lambda call: None, **options: Any) -> Any:
        ray = FakeRay(random.Random(3), on_call)
        with in_place_of_ray(monkeypatch, ray):
            return run(cluster="auto", **options)

    return divided


@pytest.fixture
def mixed(photos: Path) -> Path:
    """Photos of two classes, two of them identical, and two that are none."""
    write_images(40, photos, classes=("cat", "dog"))
    (photos / "cat" / "copy.png").write_bytes((photos / "cat" / "image_0.png").read_bytes())
    (photos / "cat" / "broken.png").write_bytes(b"no picture")
    (photos / "dog" / "empty.png").write_bytes(b"")
    return photos


@pytest.fixture
def alone(run: Run, mixed: Path, tmp_path: Path) -> Path:
    """The store of one machine."""
    run(output=tmp_path / "alone.h5")
    return tmp_path / "alone.h5"


def test_the_store_is_that_of_one_machine(divided: Run, alone: Path, store: Path) -> None:
    report = divided(on_call=lambda call: None)
    check_same(alone, store)
    assert (report.rows, report.failed) == (41, 2)
    assert report.done + report.reused == 41
    with featx.open_store(store) as opened:
        (about,) = opened.header.runs
    assert (about["workers"], about["ray"], about["computed"]) == (2, "2.0", report.done)
    assert not store.with_name("features.h5.parts").exists()
    again = divided()
    assert (again.done, again.skipped, again.failed) == (0, 41, 2)


def test_a_store_is_brought_up_to_date(
    run: Run, divided: Run, alone: Path, mixed: Path, store: Path
) -> None:
    divided()
    (mixed / "cat" / "image_2.png").unlink()
    (mixed / "cat" / "image_4.png").rename(mixed / "cat" / "moved.png")
    (mixed / "dog" / "new.png").write_bytes((mixed / "dog" / "image_1.png").read_bytes())
    write_images(1, mixed / "dog", size=(6, 6))
    reports = [run(output=alone, prune=True), divided(prune=True)]
    differing: dict[str, Any] = {"output": "", "seconds": {}, "images_per_second": 0, "run": {}}
    assert reports[0].to_dict() | differing == reports[1].to_dict() | differing
    assert (reports[1].done, reports[1].reused, reports[1].renamed) == (1, 2, 1)
    check_same(alone, store)


def test_columns_of_a_table_go_along(run: Run, divided: Run, mixed: Path, tmp_path: Path) -> None:
    paths = sorted(path for path in mixed.rglob("image_*.png"))
    table = pd.DataFrame({"path": map(str, paths), "price": range(len(paths)), "split": "train"})
    table.to_csv(tmp_path / "table.csv", index=False)
    run(images=str(tmp_path / "table.csv"), output=tmp_path / "alone.h5")
    divided(images=str(tmp_path / "table.csv"))
    check_same(tmp_path / "alone.h5", tmp_path / "features.h5")
    assert sorted(read_all(tmp_path / "features.h5")["columns"]["price"]) == list(range(40))


@pytest.mark.parametrize("seed", [1, *slow_seeds(range(2, 60))])
def test_whatever_dies_no_row_is_lost_doubled_or_changed(
    divided: Run, alone: Path, store: Path, seed: int
) -> None:
    """Workers die before a task or right behind it; so does the program that began."""
    draw = random.Random(seed)

    def kill_some(call: Call) -> None:
        fate = draw.random()
        if call.method == "do" and fate < 0.1:
            call.run()  # It is done, and nobody hears of it: it will be done twice.
            call.actor.is_dead = True
        elif fate < 0.2:
            call.actor.is_dead = True
        elif call.method == "do" and fate < 0.26:
            call.run()
            raise SystemExit("killed")

    for _ in range(50):
        try:
            divided(on_call=kill_some)
            break
        except (SystemExit, ClusterError):
            continue
    check_same(alone, store)
    assert not store.with_name("features.h5.parts").exists()


class Together(FakeRay):
    """All that an actor was told to do is done at the same time."""

    def wait(
        self, calls: Sequence[Call], num_returns: int, timeout: float
    ) -> tuple[list[Call], list[Call]]:
        todo = [call for call in calls if call.actor is calls[0].actor and call.result is None]
        with ThreadPoolExecutor() as threads:
            list(threads.map(Call.run, todo))
        return [calls[0]], list(calls[1:])


def test_rows_are_written_while_the_next_ones_are_computed(
    run: Run, alone: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, real_take = parts.write_store, tasks.take_rows
    started: list[object] = []
    has_second, was_meanwhile = threading.Event(), []

    def take(*arguments: Any) -> None:
        started.append(arguments)
        if len(started) == 2:
            has_second.set()
        real_take(*arguments)

    def write(*arguments: Any) -> None:
        if started and not was_meanwhile:
            was_meanwhile.append(has_second.wait(timeout=10))
        real_write(*arguments)

    monkeypatch.setattr(tasks, "take_rows", take)
    monkeypatch.setattr(parts, "write_store", write)
    with in_place_of_ray(monkeypatch, Together(random.Random(1), cpus=[1])):
        report = run(cluster="auto")
    assert was_meanwhile[0]
    assert report.rows == 41
    monkeypatch.undo()
    check_same(alone, store)


def test_a_driver_that_is_killed_without_a_word(
    divided: Run, alone: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It neither closes its folder for work, nor takes in what it has heard of last."""
    calls: list[Call] = []

    def kill(call: Call) -> None:
        calls.append(call)
        if len(calls) == 6:
            call.run()
            raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr("featx.store.shared_work.SharedWork.close", lambda self: None)
        with pytest.raises(SystemExit):
            divided(on_call=kill)
    parts = store.with_name("features.h5.parts")
    assert len(list_work(parts)) == 1
    late = calls[0].actor.made  # Its workers do not know yet.
    report = divided()
    assert 8 <= report.skipped < 41
    assert "could not be written" in str(late.do(calls[-1].argument))
    check_same(alone, store)
    assert not parts.exists()


def test_a_disk_that_is_full_on_one_machine(
    divided: Run, alone: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = TaskWorker.do, []

    def do(self: TaskWorker, task: Any) -> Any:
        full[:] = full or [self]
        if self is not full[0]:
            return real(self, task)
        with monkeypatch.context() as patch:
            error = OSError(errno.ENOSPC, "No space left on device")
            patch.setattr("featx.store.parts.write_store", _raising(error))
            return real(self, task)

    monkeypatch.setattr(TaskWorker, "do", do)
    divided()
    check_same(alone, store)

    full.clear()
    with pytest.raises(StoreError, match="the disk is full"):
        divided(concurrency=1, overwrite=True)
    check_same(alone, store)


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    return fail


def test_failures_of_all_workers_are_counted_together(
    divided: Run, alone: Path, mixed: Path, store: Path
) -> None:
    with pytest.raises(TooManyFailures, match=r"2 images failed; the limit is 1.*goes on from"):
        divided(max_failures=1)
    parts = store.with_name("features.h5.parts")
    assert list(parts.glob("part-*.h5"))
    assert not list_work(parts)
    report = divided(max_failures=2)
    assert report.skipped > 0
    check_same(alone, store)


def test_an_overwrite_that_is_interrupted_goes_on(
    divided: Run, alone: Path, mixed: Path, store: Path
) -> None:
    write_images(3, mixed / "bird")
    divided()
    before = read_all(store)
    count = iter(range(100))

    def kill(call: Call) -> None:
        if next(count) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        divided(on_call=kill, overwrite=True)
    assert read_all(store) == before
    assert divided(overwrite=True).skipped > 0
    assert read_all(store) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": "head:10001"}, "^A cluster is 'local'.*Received: 'head:10001'"),
        ({"cluster": None, "concurrency": 2}, "^concurrency= is about workers on a cluster"),
        ({"cluster": None, "num_gpus": 0.5}, "^num_gpus= is about workers on a cluster"),
        ({"cpu_workers": 2}, "^cpu_workers= adds workers to those with GPUs"),
        ({"num_gpus": 0, "cpu_workers": 2}, "^cpu_workers= adds workers to those with GPUs"),
        ({"num_cpus": 0}, r"^num_cpus= is above 0\. Received: 0"),
    ],
)
def test_options_that_make_no_sense(run: Run, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        run(**{"cluster": "local"} | options)


def test_what_comes_one_after_the_other_is_not_divided(divided: Run, store: Path) -> None:
    pictures = ((str(number), np.zeros((8, 8, 3), np.uint8)) for number in range(2))
    with pytest.raises(InvalidValue, match=r"cannot be divided\. Leave out cluster="):
        divided(images=pictures, overwrite=True)
    assert not store.with_name("features.h5.parts").exists()


def test_tasks_are_as_long_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    items = [ImageItem(f"{number}.jpg", MEMORY, None, 1, 1) for number in range(20_000)]
    division = Division(items, row_bytes=1024, num_workers=2)
    sizes = [len(division.take()), len(division.take())]
    assert sizes == [64, 64]
    division.measure(64, 0.16)
    while taken := division.take():
        sizes.append(len(taken))
    assert sum(sizes) == 20_000
    assert sizes[2] == 4992  # A quarter of what is left, in less than 15 s.
    assert sizes[-1] <= 448  # A second.
    assert sizes[2:] == sorted(sizes[2:], reverse=True)
    assert len(sizes) < 20
