"""An object store that fails, refuses, or is written by another process meanwhile."""

from __future__ import annotations

import json
import sys
from collections import Counter
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
from featx.objects.schemes import SCHEMES
from featx.testing import write_images
from featx.user_cache import CACHE_VARIABLE, user_cache_folder
from tests.objects.server import ObjectServer, Request

PARTS = "features.h5.parts"

Run = Callable[..., ExtractReport]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(4, tmp_path / "photos")


@pytest.fixture
def run_view(run: Run, url: str, small_parts: None) -> Run:
    """Write a view at the address, of parts of two pictures."""
    asked = {"output": url, "single_file_limit": 0, "batch_size": 2}
    return lambda **options: run(**asked | options)


def values(url: str) -> np.ndarray:
    with featx.open_store(url) as store:
        return np.asarray(store["mean"])


def send_in_pieces(server: ObjectServer, monkeypatch: pytest.MonkeyPatch, above: int) -> None:
    """Let what has more bytes be sent in pieces."""
    where = {"s3": "featx.objects.s3.SINGLE_BYTES"}
    other = "google.cloud.storage.blob._MAX_MULTIPART_SIZE"
    monkeypatch.setattr(where.get(server.scheme, other), above)


def test_a_store_that_is_slow_to_answer_is_asked_again(
    server: ObjectServer, url: str, run_view: Run, try_again: None
) -> None:
    """Whatever is asked for is refused once, and broken off once."""
    asked: Counter[tuple[str, str]] = Counter()

    def refuse(request: Request) -> int | str | None:
        what = request.does, request.name
        asked[what] += 1
        return {1: 503 if len(asked) % 2 else 500, 2: "break"}.get(asked[what])

    server.fault = refuse
    assert run_view().rows == 4
    assert {"list", "write", "version"} <= {does for does, _ in asked}
    reads: Counter[str] = Counter()

    def cut(request: Request) -> str | None:
        reads[request.name] += request.does == "read"
        return "truncate" if request.does == "read" and reads[request.name] < 3 else None

    server.fault = cut
    assert values(url).shape == (4, 3)
    assert max(reads.values()) >= 3


@pytest.mark.parametrize("kind", ["s3"])
def test_the_environment_says_how_often_a_request_is_made(
    server: ObjectServer, url: str, try_again: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fault = lambda request: 503
    for asked, made in (("", 5), ("2", 2)):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
        server.requests.clear()
        with pytest.raises(StoreError, match="could not be read"):
            featx.open_store(url)
        assert len(server.requests) == made
    for asked in ("0", "-1", "often"):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", asked)
        with pytest.raises(InvalidValue, match=f"^AWS_MAX_ATTEMPTS .* at least 1.*'{asked}'"):
            featx.open_store(url)


@pytest.mark.parametrize("in_pieces", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_write_whose_answer_is_lost_was_done(
    server: ObjectServer,
    url: str,
    run_view: Run,
    in_pieces: bool,
    try_again: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is repeated, and refused since it was done: of a marker, a part, and pieces of one."""
    run_view()
    send_in_pieces(server, monkeypatch, 0 if in_pieces else 1 << 20)
    lost: list[str] = []

    def lose(request: Request) -> str | None:
        if request.does != "write" or request.name in lost:
            return None
        lost.append(request.name)
        return "lose"

    server.fault = lose
    assert run_view(overwrite=True).rows == 4
    assert len(lost) == 1 + 2 + 1  # The marker, the parts, and the store.
    server.fault = None
    assert featx.verify_store(url).unused == ()


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
    server: ObjectServer, url: str, run_view: Run, fault: int | str, expected: str
) -> None:
    run_view()
    server.fault = lambda request: fault
    with pytest.raises(StoreError, match=f"^'{url}' could not be read: ") as error:
        values(url)
    assert expected in str(error.value)
    for secret in (server.secret, "\n", "?", "AKID"):
        assert secret not in str(error.value)


def test_there_is_no_such_bucket_server_or_store(
    server: ObjectServer, url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere, none = f"{server.scheme}://nowhere/f.h5", server.url("none.h5")
    with pytest.raises(StoreError, match=f"'{nowhere}' could not be read: .*Check the address"):
        run(output=nowhere)
    with pytest.raises(StoreNotFound, match=f"There is no feature store '{none}'"):
        featx.open_store(none)
    for name in server.settings.keys() & {"AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"}:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(StoreError, match=r"could not be read: .*Check the network"):
        run(output=url)


def test_addresses_that_no_store_has(server: ObjectServer) -> None:
    for text, came in (
        ("s3://photos", "'s3://photos'"),
        ("az://photos/f.h5", "'az://photos/f.h5'"),
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
    server: ObjectServer, url: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("features.h5", b"featx-store\n" * 100)
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    for use in (lambda: values(url), lambda: run(output=url), lambda: featx.verify_store(url)):
        with pytest.raises(StoreError, match=f"^No copy of '{url}' .*name another folder"):
            use()


@pytest.mark.parametrize("count", [1, 1000])
def test_what_is_no_store_is_left_alone(
    server: ObjectServer, url: str, run: Run, count: int
) -> None:
    server.put("features.h5", b"something else" * count)
    with pytest.raises(StoreDamaged, match=f"'{url}' (is no feature|cannot be)"):
        values(url)
    for overwrite in (False, True):
        with pytest.raises(StoreError, match=r"is not a feature store; it is left alone"):
            run(output=url, overwrite=overwrite)
    assert server.objects() == {"features.h5": b"something else" * count}


def test_a_store_that_is_not_finished_says_so(
    server: ObjectServer, url: str, run_view: Run
) -> None:
    server.fault = lambda request: (
        "break" if request.does == "write" and request.name == "features.h5" else None
    )
    with pytest.raises(StoreError, match=r"run the same again"):
        run_view()
    server.fault = None
    with pytest.raises(StoreNotFound, match=f"'{url}' is not finished: .*goes on"):
        values(url)
    assert run_view().done == 0


@pytest.mark.parametrize("when", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_of_two_writers_one_stops(
    server: ObjectServer,
    url: str,
    run_view: Run,
    photos: Path,
    when: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """While the first one uploads a part, or the store, the second one does all of its work."""
    left = [when]

    def overtake(request: Request) -> None:
        left[0] -= request.does == "write"
        if left[0] < 0:
            server.fault = None
            with monkeypatch.context() as other:
                other.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("machine")))
                write_images(5, photos)
                assert run_view().rows == 5

    server.fault = overtake
    with pytest.raises(StoreError, match=f"^Another process is writing to '{url}'"):
        run_view()
    before = server.objects()
    assert run_view().done == 0
    assert featx.verify_store(url).unused == ()
    assert server.objects() == before
    assert len(np.unique(values(url), axis=0)) == 5


@pytest.mark.parametrize("does", ["read", "version"])
def test_a_store_that_is_replaced_while_it_is_opened(
    server: ObjectServer,
    url: str,
    run: Run,
    photos: Path,
    does: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run(output=url)

    def replace(request: Request) -> None:
        if request.does == does and request.name == "features.h5":
            server.fault = None
            with monkeypatch.context() as other:
                other.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("machine")))
                write_images(5, photos)
                run(output=url)
            if does == "version":  # Another reader on this machine lists the new one.
                copy_of(url)

    server.fault = replace
    with pytest.raises(StoreError, match=r"was replaced by a newer version while it was read"):
        values(url)
    assert values(url).shape == (5, 3)


def test_damage_is_found_named_and_repaired(server: ObjectServer, url: str, run_view: Run) -> None:
    run_view()
    name = f"{PARTS}/part-000001.h5"
    data = bytearray(server.objects()[name])
    data[len(data) // 2] ^= 1
    assert featx.verify_store(url).is_intact
    other = f"{PARTS}/part-000000.h5"
    server.put(name, bytes(data))
    server.put(other, b"featx-absent\n" * 200)  # As a copy of what was not fetched yet.
    server.put(f"{PARTS}/notes.json", bytes(5 << 20))
    server.clear()
    report = featx.verify_store(url)
    assert {damage.file for damage in report.damages} == {server.url(n) for n in (name, other)}
    assert server.bytes_sent < 1 << 20, "what only has the name of a marker was fetched"
    assert featx.verify_store(url, repair=True).repaired
    run_view()
    assert featx.verify_store(url).is_intact
    assert len(np.unique(values(url), axis=0)) == 4


def test_what_killed_writers_leave_is_named(server: ObjectServer, url: str, run_view: Run) -> None:
    run_view()
    server.put(f"{PARTS}/part-000007.h5", server.objects()[f"{PARTS}/part-000000.h5"])
    client = open_client(Address.parse(url))
    server.begin_upload(f"{PARTS}/part-000008.h5")  # Of long ago, the server says.
    server.begin_upload("features.h5.of-another")
    tells = server.scheme == "s3"  # Google Cloud Storage does not tell what was begun.
    report = featx.verify_store(url)
    assert report.is_intact
    found = (7, 8) if tells else (7,)
    assert report.unused == tuple(server.url(f"{PARTS}/part-00000{n}.h5") for n in found)
    assert json.loads(json.dumps(report.to_dict()))["unused"]
    run_view()
    assert featx.verify_store(url).unused == ()
    left = [one.path for one in client.find_unfinished("photos")]
    assert left == (["photos/features.h5.of-another"] if tells else [])


def test_large_objects_are_sent_in_pieces(
    server: ObjectServer, url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_in_pieces(server, monkeypatch, 1000)
    run(output=url)
    assert values(url).shape == (4, 3)
    assert {"begin", "write"} <= {one.does for one in server.requests}
    assert featx.verify_store(url).unused == ()


def test_an_index_that_names_an_address_starts_no_request(
    server: ObjectServer,
    url: str,
    run: Run,
    photos: Path,
    tmp_path: Path,
    other_machine: Callable[[], None],
) -> None:
    run(output=url)
    index = featx.build_index(url, output=tmp_path / "own.faiss")
    assert index.description.store.path == url
    other_machine()
    server.clear()
    assert featx.search(photos / "image_0.png", index=tmp_path / "own.faiss").results
    assert not server.requests


def test_the_index_of_an_address_is_in_the_cache(
    server: ObjectServer, url: str, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(output=url)
    index = featx.build_index(url)
    folder = user_cache_folder() / "indexes" / server.scheme / "photos"
    assert index.path == folder / "features.faiss"
    assert [*server.objects()] == ["features.h5"]
    with pytest.raises(InvalidValue, match=r"takes a path on this machine"):
        featx.build_index(url, output=server.url("features.faiss"))
    with pytest.raises(InvalidValue, match=r"takes a store on this machine"):
        featx.serve(url)


def test_what_is_missing_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "of-this-test")  # Clients of its own.
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-this-test")
    for kind in SCHEMES:
        monkeypatch.setitem(sys.modules, f"featx.objects.{kind}", None)
        with pytest.raises(InvalidValue, match=rf"pip install 'featx\[{kind}\]'"):
            featx.open_store(f"{kind}://photos/features.h5")
