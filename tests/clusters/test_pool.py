"""Workers of a cluster that die, cannot work, or are too few; without Ray."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from featx.errors import ClusterError, InvalidValue, ModelError, StoreError
from featx.events import Listener
from featx.options import UpdateOptions
from featx.ray.connection import check_address, connected
from featx.ray.pool import MOST_DEATHS, MOST_TRIES, Pool
from featx.ray.pool_size import PoolSize, choose_size
from tests.clusters.fake_ray import Call, FakeRay, RayError


@dataclass(frozen=True)
class Number:
    """A task."""

    name: str


class Notes(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class Doubling:
    """A worker."""

    def do(self, task: Number) -> str:
        if task.name == "full":
            raise StoreError("no room on this machine")
        if task.name == "wrong":
            raise ModelError("it has no such layer")
        if task.name == "bug":
            raise ZeroDivisionError("division by zero")
        return task.name * 2


class Homeless:
    """A worker that cannot begin."""

    def __init__(self) -> None:
        raise StoreError("'photos' is not there")


def run_pool(
    names: list[str],
    on_call: Callable[[Call], None] = lambda call: None,
    *,
    count: int = 2,
    make: Any = Doubling,
    notes: Notes | None = None,
    kind: type[FakeRay] = FakeRay,
) -> list[str]:
    ray = kind(random.Random(1), on_call)
    left: Iterator[Number] = (Number(name) for name in names)
    pool: Pool[Number, str] = Pool(ray, PoolSize(count, 1.0, 0.0), make, notes or Notes())
    try:
        return sorted(pool.run(lambda: next(left, None)))
    finally:
        assert all(actor.is_dead for actor in ray.actors)


def test_each_task_is_done_once() -> None:
    assert run_pool(list("abcdefgh")) == ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"]
    assert run_pool([]) == []


def test_tasks_of_workers_that_die_are_done_by_others() -> None:
    notes, draw = Notes(), random.Random(2)

    def kill_some(call: Call) -> None:
        call.actor.is_dead = draw.random() < 0.15

    names = [f"{number:03d}" for number in range(60)]
    assert run_pool(names, kill_some, count=3, notes=notes) == [name * 2 for name in names]
    assert 5 < len([text for text in notes.texts if "has died: another one" in text]) < 60


def test_workers_with_gpus_and_without_work_in_one_pool() -> None:
    """One that dies is replaced by one of its kind, and one that cannot work by none."""
    killed: list[float] = []

    def kill(call: Call) -> None:
        if call.argument == Number("c") and not killed:
            killed.append(call.actor.options["num_gpus"])
            call.actor.is_dead = True

    ray, left = FakeRay(random.Random(1), kill), iter([*map(Number, "abcdefgh")])
    pool: Pool[Number, str] = Pool(ray, PoolSize(2, 1.0, 0.5, cpu_workers=3), Doubling, Notes())
    assert sorted(pool.run(lambda: next(left, None))) == [name * 2 for name in "abcdefgh"]
    kinds = Counter(actor.options["num_gpus"] for actor in ray.actors)
    assert kinds == Counter({0.5: 2, 0.0: 3}) + Counter(killed)
    assert {actor.options["num_cpus"] for actor in ray.actors} == {1.0}


def test_a_task_that_kills_its_workers_is_given_up() -> None:
    def kill(call: Call) -> None:
        call.actor.is_dead = call.argument == Number("c")

    with pytest.raises(ClusterError, match=f"^{MOST_TRIES} workers died .* at the same images"):
        run_pool(list("abcdef"), kill)


class Watching(FakeRay):
    """Notes how many tasks workers have; kills those that have two while `is_deadly`."""

    seen: ClassVar[list[list[int]]]
    is_deadly = False

    def wait(
        self, calls: Sequence[Call], num_returns: int, timeout: float
    ) -> tuple[list[Call], list[Call]]:
        loads = Counter(call.actor for call in calls if call.method == "do")
        self.seen.append([loads[actor] for actor in self.actors if not actor.is_dead])
        for actor, load in loads.items():
            actor.is_dead |= self.is_deadly and load > 1
        return super().wait(calls, num_returns, timeout)


def test_workers_have_a_second_task_as_soon_as_all_have_one() -> None:
    Watching.seen = []
    assert len(run_pool([f"{number}" for number in range(30)], kind=Watching, count=3)) == 30
    assert {max(loads) for loads in Watching.seen if 0 not in loads} == {1, 2}
    assert [2, 2, 2] in Watching.seen
    begun = next(number for number, loads in enumerate(Watching.seen) if 0 not in loads)
    assert all(max(loads) < 2 for loads in Watching.seen[:begun])


def test_tasks_that_others_died_with_are_done_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not given up, however often a worker dies that has two: either may have killed it."""
    Watching.seen = []
    monkeypatch.setattr(Watching, "is_deadly", True)
    names = [f"{number:03d}" for number in range(2 * MOST_TRIES * MOST_DEATHS)]
    assert run_pool(names, kind=Watching) == [name * 2 for name in names]


def test_workers_that_only_die_are_given_up() -> None:
    starts = []

    def kill(call: Call) -> None:
        starts.append(call)
        call.actor.is_dead = True

    with pytest.raises(ClusterError, match=f"^{MOST_DEATHS} workers died .* goes on from there"):
        run_pool(list("abc"), kill)
    assert len(starts) == MOST_DEATHS


def test_a_node_that_dies_with_many_workers() -> None:
    deaths = []

    def kill(call: Call) -> None:
        if len(deaths) < 40:
            deaths.append(call.actor)
            call.actor.is_dead = True

    assert run_pool(list("abc"), kill, count=40) == ["aa", "bb", "cc"]


def test_a_cluster_that_is_gone() -> None:
    def lose(call: Call) -> None:
        raise ConnectionError("Client is shutting down.")

    with pytest.raises(ClusterError, match=r"^The cluster is gone: Client is shutting down\. What"):
        run_pool(["a"], lose)


def test_why_workers_cannot_begin_is_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "The actor died, \x1b[36mActor()\x1b[39m (pid=7)\n   ^^^\nImportError: no \x1b[1mfeatx"

    def fail(call: Call) -> None:
        call.error = RayError(text)

    monkeypatch.setattr(Call, "run", fail)
    with pytest.raises(ClusterError, match=r"workers died .*: ImportError: no featx\. What was"):
        run_pool(["a"])


def test_it_is_said_once_that_no_worker_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, real, waits = Notes(), FakeRay.wait, iter(range(100))

    def wait(self: FakeRay, calls: Any, num_returns: int, timeout: float) -> Any:
        number = next(waits)  # First nobody begins, then one does and is long at its first task.
        return ([], calls) if number < 3 or number in (4, 5) else real(self, calls, 1, timeout)

    monkeypatch.setattr(FakeRay, "wait", wait)
    assert run_pool(["a"], notes=notes, count=1) == ["aa"]
    assert notes.texts == ["no worker has begun yet: perhaps the cluster has no room for one"]


def test_who_cannot_write_is_left_out_and_its_task_done_by_others() -> None:
    notes, first = Notes(), []

    def fill_a_disk(call: Call) -> None:
        if call.method == "do" and (not first or call.actor is first[0]):
            first.append(call.actor)
            call.actor.made.do = lambda task: StoreError("the disk is full")

    names = list("abcdefgh")
    assert run_pool(names, fill_a_disk, count=3, notes=notes) == [name * 2 for name in names]
    assert len(first) == 1
    assert notes.texts == ["one worker is left out, 2 workers go on: the disk is full"]


def test_where_no_worker_can_work_the_reason_of_the_last_is_the_error() -> None:
    with pytest.raises(StoreError, match="is not there"):
        run_pool(list("ab"), make=Homeless, count=3)
    with pytest.raises(StoreError, match="no room"):
        run_pool(["full"], count=1)


def test_an_error_that_is_not_of_one_machine_ends_all() -> None:
    with pytest.raises(ModelError, match="no such layer"):
        run_pool(["a", "wrong", "b"])
    with pytest.raises(ClusterError, match="^A worker failed: division by zero"):
        run_pool(["a", "bug", "b"])


def test_what_cannot_be_sent() -> None:
    with pytest.raises(ClusterError, match="^The model cannot be sent to workers: .*lambda"):
        run_pool(["a"], make=lambda: None)
    with pytest.raises(ClusterError, match="^These images cannot be sent to workers: .*lock"):
        run_pool(["a", threading.Lock()])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("nodes", "options", "size"),
    [
        ([{"CPU": 2}], {}, (1, 2, 0)),
        ([{"CPU": 4}, {"CPU": 16}, {"memory": 1}], {}, (5, 4, 0)),
        ([{"CPU": 4}, {"CPU": 4}], {"num_cpus": 0.5}, (16, 0.5, 0)),
        ([{"CPU": 8, "GPU": 2}, {"CPU": 8}], {"num_cpus": 1, "num_gpus": 0.25}, (8, 1, 0.25)),
        ([{"CPU": 4}], {"concurrency": 3, "num_cpus": 2}, (3, 2, 0)),
    ],
)
def test_how_many_workers_there_are(nodes: Any, options: Any, size: Any) -> None:
    chosen = choose_size(nodes, UpdateOptions(cluster="auto", **options))
    assert (chosen.count, chosen.num_cpus, chosen.num_gpus) == size


@pytest.mark.parametrize(
    ("nodes", "options"),
    [([], {}), ([{"CPU": 2}], {"num_cpus": 4}), ([{"CPU": 2}], {"num_gpus": 1})],
)
def test_a_cluster_without_room(nodes: Any, options: Any) -> None:
    with pytest.raises(ClusterError, match="^No node of the cluster has .* Ask for less with"):
        choose_size(nodes, UpdateOptions(cluster="auto", **options))


@pytest.mark.parametrize("address", ["", "ray://", "ray://head", "ray://head:x", "head:10001"])
def test_what_is_no_address_of_a_cluster(address: str) -> None:
    with pytest.raises(InvalidValue, match="Received: "):
        check_address(address)


def test_no_cluster_is_told_without_options_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError("No running Ray. Please specify the one with `--address`.")

    ray = SimpleNamespace(is_initialized=lambda: False, init=fail)
    monkeypatch.setattr("featx.ray.connection.import_ray", lambda: ray)
    with (
        pytest.raises(ClusterError, match=r"reached at 'auto': No running Ray\. Start one, or"),
        connected("auto"),
    ):
        pass
