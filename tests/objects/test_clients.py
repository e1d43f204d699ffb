"""What every client of an object store does: the same, whatever the protocol is."""

from __future__ import annotations

from pathlib import Path

import pytest

from featx.errors import StoreError
from featx.objects.addresses import Address
from featx.objects.client import ObjectChanged, ObjectClient, open_client
from tests.objects.server import SERVERS, ObjectServer

PATH = "photos/2026/a b+ü#%41.h5"
"""Names have what other protocols take for something else."""

pytestmark = [
    pytest.mark.parametrize("kind", list(SERVERS)),
    # Cloud Storage's library leaves the answer open in which a download is refused.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(server: ObjectServer) -> ObjectClient:
    return open_client(Address.parse(server.url()))


@pytest.fixture
def send(client: ObjectClient, tmp_path: Path):
    """Write bytes, if the object has a version."""

    def send_bytes(data: bytes, version: str | None, path: str = PATH) -> str:
        file = tmp_path / "sent"
        file.write_bytes(data)
        return client.upload(file, path, version)

    return send_bytes


def test_what_is_written_is_found_and_read(server, client, send, tmp_path) -> None:
    assert client.find("photos/2026/") == {}
    assert client.read_version(PATH) is None
    version = send(bytes(range(256)) * 3, None)
    send(b"", None, f"{PATH}.parts/empty")
    send(b"another's", None, "photos/2027/b.h5")
    assert client.read_version(PATH) == version
    found = client.find(PATH)
    assert {path: facts.size for path, facts in found.items()} == {
        PATH: 768,
        f"{PATH}.parts/empty": 0,
    }
    assert found[PATH].version == version
    assert client.read_head(PATH) == (bytes(range(256)) * 2)
    assert client.read_head(PATH, 1000) == bytes(range(256)) * 3
    assert client.read_head(f"{PATH}.parts/empty") == b""
    client.download(PATH, tmp_path / "received")
    assert (tmp_path / "received").read_bytes() == bytes(range(256)) * 3
    assert server.objects()["2026/a b+ü#%41.h5"] == bytes(range(256)) * 3


def test_a_write_and_a_deletion_have_a_condition(server, client, send) -> None:
    first = send(b"one", None)
    with pytest.raises(ObjectChanged):
        send(b"two", None)
    second = send(b"three", first)
    assert second != first
    with pytest.raises(ObjectChanged):
        send(b"four", first)
    client.delete(PATH, first)
    assert [*server.objects().values()] == [b"three"]
    client.delete(PATH, second)
    assert not server.objects()
    client.delete(PATH, second)
    with pytest.raises(ObjectChanged):
        send(b"five", second)
    assert not server.objects()


def test_a_write_in_pieces_has_a_condition(server, client, send, monkeypatch) -> None:
    monkeypatch.setattr("featx.objects.s3.SINGLE_BYTES", 1000)
    monkeypatch.setattr("featx.objects.s3.PIECE_BYTES", 6 << 20)
    large = bytes(9 << 20)  # More than one request of Cloud Storage's library has.
    first = send(large, None)
    assert {"begin", "write"} <= {one.does for one in server.requests}
    second = send(large[:-1] + b"2", first)  # Another version of S3 has another content.
    for version in (None, first):
        with pytest.raises(ObjectChanged):
            send(large, version)
    assert client.read_version(PATH) == second
    assert client.find_unfinished("photos/") == []


def test_what_begins_may_be_overtaken(server, send) -> None:
    """Another process writes the object after this one has begun to send it in pieces."""

    def overtake(request) -> None:
        if request.does in ("piece", "write"):
            server.fault = None
            server.put("2026/b.h5", b"another's")

    server.fault = overtake
    with pytest.raises(ObjectChanged):
        send(bytes(9 << 20), None, "photos/2026/b.h5")
    assert server.objects() == {"2026/b.h5": b"another's"}


def test_every_refusal_is_one_line(server, client, send, tmp_path) -> None:
    version = send(b"something", None)
    asked = {
        "read": (
            lambda: client.find("photos/"),
            lambda: client.read_version(PATH),
            lambda: client.read_head(PATH),
            lambda: client.download(PATH, tmp_path / "received"),
        ),
        "written": (lambda: send(b"other", version), lambda: send(b"other", None, f"{PATH}2")),
        "deleted": (lambda: client.delete(PATH, version),),
    }
    for status, remedy in ((403, "Check the credentials"), (500, "Check the network")):
        server.fault = lambda request, status=status: status
        for doing, requests in asked.items():
            for ask in requests:
                with pytest.raises(StoreError, match=f"^'{server.scheme}://photos/.* {doing}") as e:
                    ask()
                assert remedy in str(e.value)
                for not_for_people in (server.secret, "\n", "?", "http://", "AKID", "{"):
                    assert not_for_people not in str(e.value)
    server.fault = None
    with pytest.raises(StoreError, match="Check the address") as missing:
        client.download("photos/none", tmp_path / "received")
    assert isinstance(missing.value.__cause__, FileNotFoundError)


def test_a_server_without_conditional_deletions_deletes(server, client, send) -> None:
    version = send(b"something", None)
    server.fault = lambda request: 501 if request.number == 1 else None
    if server.scheme == "gs":  # It has them.
        with pytest.raises(StoreError):
            client.delete(PATH, version)
    else:
        client.delete(PATH, version)
        assert not server.objects()
