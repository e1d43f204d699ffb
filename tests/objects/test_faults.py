"""An object store that fails, refuses, or is written by another process meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import InvalidValue, StoreDamaged, StoreError, StoreNotFound
from featx.extraction import ExtractReport
from featx.objects.addresses import Address
from featx.objects.client import open_client
from featx.objects.copies import copy_of
from featx.testing import write_images
from featx.user_cache import CACHE_VARIABLE, user_cache_folder
from tests.objects.conftest import SECRET
from tests.objects.server import ObjectServer, Request

URL = "s3://photos/features.h5"
PARTS = "features.h5.parts"

Run = Callable[..., ExtractReport]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(4, tmp_path / "photos")


@pytest.fixture
def run_view(run: Run, server: ObjectServer, small_parts: None) -> Run:
    """Write a view at the address, of parts of two pictures."""
    asked = {"output": URL, "single_file_limit": 0, "batch_size": 2}
    return lambda **options: run(**asked | options)


def values() -> np.ndarray:
    with featx.open_store(URL) as store:
        return np.asarray(store["mean"])


def test_a_store_that_is_slow_to_answer_is_asked_again(
    server: ObjectServer, run_view: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
    server.fault = lambda request: {3: 500, 7: 503, 8: "break"}.get(request.number)
    assert run_view().rows == 4
    server.clear()
    server.fault = lambda request: {1: "truncate", 2: "truncate"}.get(request.number)
    assert values().shape == (4, 3)


@pytest.mark.parametrize("query", ["", pytest.param("uploadId", marks=pytest.mark.slow)])
def test_a_write_whose_answer_is_lost_was_done(
    server: ObjectServer, run_view: Run, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is repeated, and refused since it was done: of a marker, a part, and pieces of one."""
    run_view()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
    monkeypatch.setattr("featx.objects.s3.SINGLE_BYTES", 0 if query else 1 << 20)
    lost: list[str] = []

    def lose(request: Request) -> str | None:
        is_last = request.method == ("POST" if query else "PUT") and query in request.query
        if not is_last or request.path in lost:
            return None
        lost.append(request.path)
        return "lose"

    server.fault = lose
    assert run_view(overwrite=True).rows == 4
    assert len(lost) == 1 + 2 + 1  # The marker, the parts, and the store.
    server.fault = None
    assert featx.verify_store(URL).unused == ()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (403, "Check the credentials"),
        pytest.param(500, "Check the network", marks=pytest.mark.slow),
        pytest.param("break", "Check the network", marks=pytest.mark.slow),
        ("truncate", "Check the network"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    server: ObjectServer, run_view: Run, fault: int | str, expected: str
) -> None:
    run_view()
    server.fault = lambda request: fault
    with pytest.raises(
        StoreError, match=r"^'s3://photos/features.h5' could not be read: "
    ) as error:
        values()
    assert expected in str(error.value)
    for secret in (SECRET, "\n", "?", "AKID"):
        assert secret not in str(error.value)


def test_there_is_no_such_bucket_server_or_store(
    server: ObjectServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match=r"'s3://nowhere/f.h5' could not be read: .*not exist"):
        run(output="s3://nowhere/f.h5")
    with pytest.raises(StoreNotFound, match=r"There is no feature store 's3://photos/none.h5'"):
        featx.open_store("s3://photos/none.h5")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"could not be read: .*Check the network"):
        run(output=URL)


def test_addresses_that_no_store_has(server: ObjectServer) -> None:
    for text, came in (
        ("s3://photos", "'s3://photos'"),
        ("gs://photos/f.h5", "'gs://photos/f.h5'"),
        ("https://photos/f.h5?signature=secret", "Copy it from there first"),
        ("s3://photos/a/../f.h5", "/../"),
        ("s3://key:secret@photos/f.h5", "with a password"),
        ("s3://photos/f.h5?X-Amz-Signature=secret", "a query"),
        ("S3:///photos/f.h5", "BUCKET/FOLDER"),
        (r"s3://photos/..\..\f.h5", "BUCKET/FOLDER"),
        (f"s3://photos/{'ü' * 101}.h5", "more than 200 bytes"),
    ):
        with pytest.raises(InvalidValue, match=came) as error:
            featx.open_store(text)
        assert "secret" not in str(error.value)
    assert not server.requests
    assert Address.parse("S3://photos/f.h5").url == "s3://photos/f.h5"


def test_copies_that_cannot_be_kept_are_one_line(
    server: ObjectServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("features.h5", b"featx-store\n" * 100)
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    for use in (values, lambda: run(output=URL), lambda: featx.verify_store(URL)):
        with pytest.raises(StoreError, match=f"^No copy of '{URL}' .*name another folder"):
            use()


@pytest.mark.parametrize("count", [1, 1000])
def test_what_is_no_store_is_left_alone(server: ObjectServer, run: Run, count: int) -> None:
    server.put("features.h5", b"something else" * count)
    with pytest.raises(StoreDamaged, match=f"'{URL}' (is no feature|cannot be)"):
        values()
    for overwrite in (False, True):
        with pytest.raises(StoreError, match=r"is not a feature store; it is left alone"):
            run(output=URL, overwrite=overwrite)
    assert server.objects() == {"features.h5": b"something else" * count}


def test_a_store_that_is_not_finished_says_so(server: ObjectServer, run_view: Run) -> None:
    server.fault = lambda request: (
        "break" if request.method == "PUT" and request.path.endswith("features.h5") else None
    )
    with pytest.raises(StoreError, match=r"run the same again"):
        run_view()
    server.fault = None
    with pytest.raises(StoreNotFound, match=f"'{URL}' is not finished: .*goes on"):
        values()
    assert run_view().done == 0


@pytest.mark.parametrize("when", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_of_two_writers_one_stops(
    server: ObjectServer,
    run_view: Run,
    photos: Path,
    when: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """While the first one uploads a part, or the store, the second one does all of its work."""
    left = [when]

    def overtake(request: Request) -> None:
        left[0] -= request.method == "PUT"
        if left[0] < 0:
            server.fault = None
            with monkeypatch.context() as other:
                other.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("machine")))
                write_images(5, photos)
                assert run_view().rows == 5

    server.fault = overtake
    with pytest.raises(StoreError, match=f"^Another process is writing to '{URL}'"):
        run_view()
    before = server.objects()
    assert run_view().done == 0
    assert featx.verify_store(URL).unused == ()
    assert server.objects() == before
    assert len(np.unique(values(), axis=0)) == 5


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_store_that_is_replaced_while_it_is_opened(
    server: ObjectServer,
    run: Run,
    photos: Path,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run(output=URL)

    def replace(request: Request) -> None:
        if request.method == method and request.path.endswith("features.h5"):
            server.fault = None
            with monkeypatch.context() as other:
                other.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("machine")))
                write_images(5, photos)
                run(output=URL)
            if method == "HEAD":  # Another reader on this machine lists the new one.
                copy_of(URL)

    server.fault = replace
    with pytest.raises(StoreError, match=r"was replaced by a newer version while it was read"):
        values()
    assert values().shape == (5, 3)


def test_damage_is_found_named_and_repaired(server: ObjectServer, run_view: Run) -> None:
    run_view()
    name = f"{PARTS}/part-000001.h5"
    data = bytearray(server.objects()[name])
    data[len(data) // 2] ^= 1
    assert featx.verify_store(URL).is_intact
    other = f"{PARTS}/part-000000.h5"
    server.put(name, bytes(data))
    server.put(other, b"featx-absent\n" * 200)  # As a copy of what was not fetched yet.
    server.put(f"{PARTS}/notes.json", bytes(5 << 20))
    server.clear()
    report = featx.verify_store(URL)
    assert {damage.file for damage in report.damages} == {f"s3://photos/{n}" for n in (name, other)}
    assert server.bytes_sent < 1 << 20, "what only has the name of a marker was fetched"
    assert featx.verify_store(URL, repair=True).repaired
    run_view()
    assert featx.verify_store(URL).is_intact
    assert len(np.unique(values(), axis=0)) == 4


def test_what_killed_writers_leave_is_named(server: ObjectServer, run_view: Run) -> None:
    run_view()
    server.put(f"{PARTS}/part-000007.h5", server.objects()[f"{PARTS}/part-000000.h5"])
    client = open_client(Address.parse(URL))
    server.begin_upload(f"{PARTS}/part-000008.h5")  # Of long ago, the server says.
    server.begin_upload("features.h5.of-another")
    report = featx.verify_store(URL)
    assert report.is_intact
    assert report.unused == tuple(f"s3://photos/{PARTS}/part-00000{n}.h5" for n in (7, 8))
    assert json.loads(json.dumps(report.to_dict()))["unused"]
    run_view()
    assert featx.verify_store(URL).unused == ()
    assert [one.path for one in client.find_unfinished("photos")] == [
        "photos/features.h5.of-another"
    ]


def test_large_objects_are_sent_in_pieces(
    server: ObjectServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.objects.s3.SINGLE_BYTES", 1000)
    monkeypatch.setattr("featx.objects.s3.PIECE_BYTES", 6 << 20)
    run(output=URL)
    assert values().shape == (4, 3)
    assert {"uploads", "uploadId"} <= {one.query.split("=")[0] for one in server.requests}
    assert featx.verify_store(URL).unused == ()


def test_an_index_that_names_an_address_starts_no_request(
    server: ObjectServer, run: Run, photos: Path, tmp_path: Path, other_machine: Callable[[], None]
) -> None:
    run(output=URL)
    index = featx.build_index(URL, output=tmp_path / "own.faiss")
    assert index.description.store.path == URL
    other_machine()
    server.clear()
    assert featx.search(photos / "image_0.png", index=tmp_path / "own.faiss").results
    assert not server.requests


def test_the_index_of_an_address_is_in_the_cache(
    server: ObjectServer, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(output=URL)
    index = featx.build_index(URL)
    assert index.path == user_cache_folder() / "indexes" / "s3" / "photos" / "features.faiss"
    assert [*server.objects()] == ["features.h5"]
    with pytest.raises(InvalidValue, match=r"takes a path on this machine"):
        featx.build_index(URL, output="s3://photos/features.faiss")
    with pytest.raises(InvalidValue, match=r"takes a store on this machine"):
        featx.serve(URL)


def test_what_is_missing_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "featx.objects.s3", None)
    monkeypatch.setenv("AWS_PROFILE", "of-this-test")  # A client of its own.
    with pytest.raises(InvalidValue, match=r"pip install 'featx\[s3\]'"):
        featx.open_store(URL)


def test_a_cluster_needs_a_folder_that_is_shared(server: ObjectServer, run: Run) -> None:
    with pytest.raises(InvalidValue, match=f"a folder that all machines share. .*'{URL}'"):
        run(output=URL, cluster="local")
    assert not server.objects()
