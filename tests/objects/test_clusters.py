"""`extract` by workers that put their parts into an object store: the store of one machine."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.errors import ClusterError, StoreDamaged, StoreError
from featx.extraction import ExtractReport
from featx.objects.addresses import Address
from featx.objects.client import ObjectClient, open_client
from featx.store.shared_objects import ObjectPlace
from featx.testing import write_images
from featx.user_cache import CACHE_VARIABLE
from tests.clusters.fake_ray import Call, FakeRay, in_place_of_ray
from tests.clusters.stores import check_same
from tests.objects.server import ObjectServer, Request
from tests.store_samples import write_sample

PARTS = "features.h5.parts/"

Run = Callable[..., ExtractReport]


def slow_seeds(seeds: Iterable[int]) -> list[Any]:
    return [pytest.param(seed, marks=pytest.mark.slow) for seed in seeds]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of two classes, two of them identical, and one that is none."""
    photos = write_images(16, tmp_path / "photos", classes=("cat", "dog"))
    (photos / "cat" / "copy.png").write_bytes((photos / "cat" / "image_0.png").read_bytes())
    (photos / "dog" / "broken.png").write_bytes(b"no picture")
    return photos


@pytest.fixture
def alone(run: Run, store: Path) -> Path:
    """The store of one machine, on its disk."""
    run()
    return store


@pytest.fixture
def divided(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `extract` into the bucket, a view, by two workers and tasks of six images."""
    monkeypatch.setattr("featx.extraction.division.FIRST_TASK", 6)
    monkeypatch.setattr("featx.extraction.division.TASK_SECONDS", 1e-9)

    def divided(on_call: Callable[[Call], None] = lambda call: None, **options: Any) -> Any:
        with in_place_of_ray(monkeypatch, FakeRay(random.Random(3), on_call)):
            asked = {"output": url, "cluster": "auto", "single_file_limit": 0}
            return run(**asked | options)

    return divided


@pytest.fixture
def fetched(url: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the objects that are fetched whole, from here on."""
    kind = type(open_client(Address.parse(url)))
    names: list[str] = []
    real = kind.download

    def download(self: ObjectClient, path: str, target: Path) -> None:
        names.append(path.rpartition("/")[2])
        real(self, path, target)

    monkeypatch.setattr(kind, "download", download)
    return names


def check_finished(server: ObjectServer, url: str) -> None:
    """Require a store and the parts that it refers to, and nothing else."""
    assert featx.verify_store(url).unused == ()
    names = {name.removeprefix(PARTS).partition("-")[0] for name in server.objects()}
    assert names <= {"features.h5", "part", "rows"}


def test_the_writer_fetches_no_features(
    server: ObjectServer, url: str, divided: Run, alone: Path, fetched: list[str]
) -> None:
    report = divided()
    assert (report.rows, report.failed, report.output) == (17, 1, url)
    assert any(name.startswith("columns-") for name in fetched)
    assert not any(name.startswith("part-") for name in fetched)
    check_finished(server, url)
    check_same(alone, Path(url))
    with featx.open_store(url) as store:
        (about,) = store.header.runs
    assert about["computed"] == report.done
    again = divided()
    assert (again.done, again.skipped, again.failed) == (0, 17, 1)


@pytest.mark.slow
def test_a_small_store_is_one_object(
    server: ObjectServer, url: str, divided: Run, alone: Path, photos: Path
) -> None:
    divided(single_file_limit=None)
    assert [*server.objects()] == ["features.h5"]
    write_images(3, photos / "bird")
    assert divided(single_file_limit=None).rows == 20
    assert [*server.objects()] == ["features.h5"]


def test_no_credentials_are_sent_to_workers(
    server: ObjectServer, divided: Run, tmp_path: Path
) -> None:
    pictures = write_images(2, tmp_path / "two")
    for file in pictures.iterdir():
        server.put(f"two/{file.name}", file.read_bytes())
    sent: list[bytes] = []
    divided(
        lambda call: sent.append(pickle.dumps(call.argument)),
        images=server.url("two"),
        concurrency=1,
    )
    assert len(sent) == 2  # What the worker is made of, and its task.
    assert not any(server.secret.encode() in each for each in sent)


@pytest.fixture
def place(server: ObjectServer, url: str) -> ObjectPlace:
    """Where a writer waits for work."""
    server.put(f"{PARTS}work-1/begun.json", b"{}")
    return ObjectPlace(Address.parse(url), "work-1", 0)


def test_a_part_that_two_workers_have_sent_stays(
    server: ObjectServer, place: ObjectPlace, tmp_path: Path
) -> None:
    part = tmp_path / "part-000000.h5"
    write_sample(part, {"v": np.ones((3, 2), np.float32)})

    def make(folder: Path) -> dict[str, str]:
        shutil.copy(part, folder)
        return {"worker": "first"}

    def make_late(folder: Path) -> dict[str, str]:
        place.do_once("1", make)
        shutil.copy(part, folder)
        return {"worker": "second"}

    assert place.do_once("1", make_late) == {"worker": "first"}
    record = place.read_record("1")
    assert record is not None
    assert [f"{PARTS}{sent.name}" in server.objects() for sent in record.parts] == [True]


@pytest.mark.parametrize(
    "change",
    [{"name": "../../part-000001.h5"}, {"head": "seal"}, {"size": "many"}, {"columns": [1]}],
    ids=lambda change: next(iter(change)),
)
def test_a_record_of_somebody_else_is_read_with_care(
    server: ObjectServer, place: ObjectPlace, change: dict[str, Any]
) -> None:
    part = {"name": "part-000001.h5", "size": 9, "version": "1", "head": "00", "columns": None}
    record: dict[str, Any] = {"attempt": "1", "result": {}, "parts": [part]}
    server.put(f"{PARTS}work-1/1.json", json.dumps(record).encode())
    assert place.read_record("1") is not None
    record["parts"] = [part | change]
    server.put(f"{PARTS}work-1/1.json", json.dumps(record).encode())
    with pytest.raises(StoreDamaged, match=r"work-1/1.json' is damaged"):
        place.read_record("1")


@pytest.mark.parametrize("seed", slow_seeds(range(40)))
def test_whatever_dies_no_row_is_lost_doubled_or_changed(
    server: ObjectServer, url: str, divided: Run, alone: Path, seed: int
) -> None:
    """Workers die between any two requests, or behind the last one; so does the writer."""
    draw = random.Random(seed)

    def kill_some(call: Call) -> None:
        fate = draw.random()
        if call.method == "do" and fate < 0.1:
            call.run()  # It is done, and nobody hears of it: it will be done twice.
            call.actor.is_dead = True
        elif call.method == "do" and fate < 0.2:
            left = draw.randrange(6)

            def die(request: Request) -> str | None:
                nonlocal left
                left -= 1
                return draw.choice(["break", "lose"]) if left < 0 else None

            server.fault = die
            call.run()
            server.fault = None
            call.actor.is_dead, call.error, call.result = True, None, None
        elif fate < 0.3:
            call.actor.is_dead = True
        elif call.method == "do" and fate < 0.36:
            call.run()
            raise SystemExit("killed")

    for _ in range(50):
        with contextlib.suppress(SystemExit, ClusterError):
            divided(on_call=kill_some)
            break
    check_same(alone, Path(url))
    check_finished(server, url)


def test_a_writer_that_is_killed_without_a_word(
    server: ObjectServer,
    url: str,
    divided: Run,
    alone: Path,
    fetched: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes nothing back; its workers go on until they ask."""
    calls: list[Call] = []

    def kill(call: Call) -> None:
        calls.append(call)
        if len(calls) == 5:
            call.run()
            raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr("featx.store.shared_objects.ObjectWork.close", lambda self: None)
        with pytest.raises(SystemExit):
            divided(on_call=kill)
    left = {name.removeprefix(PARTS) for name in server.objects()}
    assert {name.partition("-")[0] for name in left} == {"part", "columns", "work"}
    late = calls[0].actor.made
    report = divided()
    assert report.skipped >= 8
    assert not any(name.startswith("part-") for name in fetched)
    assert "Nobody waits for work" in str(late.do(calls[-1].argument))
    check_same(alone, Path(url))
    check_finished(server, url)


@pytest.mark.slow
def test_a_writer_whose_work_another_one_has_taken_over(
    server: ObjectServer,
    url: str,
    divided: Run,
    alone: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("featx.store.shared_objects.CHECK_SECONDS", 0.0)
    calls: list[Call] = []

    def overtake(call: Call) -> None:
        calls.append(call)
        if len(calls) == 5:
            with monkeypatch.context() as other_machine:
                other_machine.setenv(CACHE_VARIABLE, str(tmp_path))
                divided()

    with pytest.raises(StoreError, match=f"^(Another process is|Nobody waits).*'{url}'"):
        divided(on_call=overtake)
    check_same(alone, Path(url))
    check_finished(server, url)
