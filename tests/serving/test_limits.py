"""More than the server takes: bytes, pixels, requests, time; and clients that go away."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
from featx.testing.toy import ToyBackbone
from tests.serving.client import Client, Reply, make_form

LIMIT = 100_000


@pytest.fixture(scope="module")
def small(store: Path) -> Iterator[Client]:
    with featx.serve(
        store, layer="mean", head=store.parent / "head", port=0,
        max_upload=LIMIT, max_pixels=10_000, queue=3, timeout=1.5,
    ) as server:  # fmt: skip
        client = Client(server.url)
        wait_until_loaded(client, store)
        yield client


def wait_until_loaded(client: Client, store: Path) -> None:
    picture = (store.parent / "photos/dark/image_0.png").read_bytes()
    assert client.upload("/features", picture).status == 200


class Brake:
    """Holds the network until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.free = threading.Event(), threading.Event()
        self.sizes: list[int] = []
        compute = ToyBackbone.__call__

        def held(
            backbone: ToyBackbone, images: np.ndarray, names: Sequence[str]
        ) -> dict[str, np.ndarray]:
            self.sizes.append(len(images))
            self.entered.set()
            assert self.free.wait(20)
            return compute(backbone, images, names)

        monkeypatch.setattr(ToyBackbone, "__call__", held)


@pytest.fixture
def brake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Brake]:
    brake = Brake(monkeypatch)
    yield brake
    brake.free.set()


def until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


def test_too_many_bytes_are_refused_before_they_are_read(small: Client) -> None:
    data = bytes(LIMIT + 1)
    assert small.upload("/predict", data).status == 413
    with socket.create_connection((small.host, small.port), timeout=10) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        assert connection.recv(12)[9:] == b"413"


def send_in_chunks(client: Client, path: str, kind: str, chunk: bytes, count: int) -> bytes:
    """Send a body whose length is not said, until there is an answer; return its status."""
    with socket.create_connection((client.host, client.port), timeout=10) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        connection.settimeout(0.05)
        for _ in range(count):
            connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            try:
                return connection.recv(12)[9:]
            except TimeoutError:
                pass
    return b""


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=x"])
def test_too_many_bytes_of_unknown_length(small: Client, kind: str) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
    chunk = part + bytes(0x8000)
    assert send_in_chunks(small, "/predict", kind, chunk, LIMIT // 0x8000) == b""
    assert send_in_chunks(small, "/predict", kind, chunk, LIMIT // 0x8000 + 1) == b"413"


def test_more_json_than_is_read_is_not_kept(client: Client) -> None:
    for path in ("/search", "/notes", "/login"):
        assert send_in_chunks(client, path, "application/json", b" " * 0x80000, 4) == b"413"
    assert client.upload("/login", b"x").status == 415  # Nobody has shown a token here.
    assert client.form("/notes", {"changes": []}, {}).status == 415


def test_forms_of_odd_encodings(client: Client, picture: bytes) -> None:
    body, kind = make_form({}, {"\u00e9.png": picture})
    for charset in ("undefined", "punycode", "zlib", "no-such"):
        answer = client.send(
            "POST", "/features", body, {"Content-Type": f"{kind}; charset={charset}"}
        )
        assert answer.status in (200, 400, 422), charset


def as_png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("crop", [{}, {"crop": "0,0,5,5"}])
def test_too_many_pixels_are_refused(small: Client, crop: dict[str, Any]) -> None:
    answer = small.form("/search", crop, {"large.png": as_png(200, 200)})
    assert answer.status == 422
    assert "large.png cannot be used" in answer.error
    assert "limit is 10,000 pixels" in answer.error
    assert small.form("/search", crop, {"small.png": as_png(90, 90)}).json["failures"] == []


def test_too_much_of_everything_else(small: Client, picture: bytes) -> None:
    key = "photos/dark/image_0.png"
    for question in (
        {"keys": [key] * 501}, {"keys": [key], "k": 10**9}, {"keys": [key], "skip": 10**9},
        {"keys": [key], "add": [{"key": key}] * 33}, {"keys": [key], "path": ["*" * 500]},
        {"keys": [key], "path": ["?*" * 8] * 3},
        {"keys": [key], "where_column": "(" * 3000}, {"keys": [key], "where_column": "not " * 400},
        {"keys": [key], "lasso": "1," * 10}, {"keys": [key], "threshold": "NaN"},
        {"keys": [key], "unique": True, "skip": 5_000}, {"keys": [key] * 500, "k": 1_000},
        {"keys": [key], "diverse": True, "skip": 5_000},
        {"keys": ["x" * 5000]}, {"keys": key}, {"keys": [None]}, {"keys": [key], "threshold": 2},
    ):  # fmt: skip
        assert small.ask("/search", question).status == 422, question
    body, kind = make_form({}, {f"{number}.png": picture for number in range(40)})
    answer = small.send("POST", "/predict", body, {"Content-Type": kind})
    assert answer.status == 400
    deep = b'{"keys": ' + b"[" * 90_000
    kinds = {"Content-Type": "application/json"}
    assert small.send("POST", "/search", deep, kinds).status == 400
    assert small.send("POST", "/search", b"[]", kinds).status == 422
    assert small.send("POST", "/search", b"\xff\xfe", kinds).status == 400


def test_a_queue_that_is_full_says_so(small: Client, brake: Brake, picture: bytes) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(small.upload, "/predict", picture)
        assert brake.entered.wait(10)
        others = [pool.submit(small.upload, "/predict", picture) for _ in range(5)]
        until(lambda: sum(one.done() for one in others) >= 3)
        refused = [one.result() for one in others if one.done()]
        time.sleep(0.3)
        assert [one.status for one in refused] == [429] * 3
        assert refused[0].headers["retry-after"] == "1"
        assert small.get("/healthz").status == 200  # It still answers what is quick.
        brake.free.set()
        taken = [first, *(one for one in others if one.result().status != 429)]
        assert [one.result().status for one in taken] == [200] * 3
    # The two that waited went through the network together.
    assert brake.sizes == [1, 2]


def test_pictures_of_several_clients_get_their_own_answers(
    small: Client, store: Path, brake: Brake
) -> None:
    names = [f"photos/{name}" for name in ("dark/image_2.png", "light/image_5.png")]
    pictures = [(store.parent / name).read_bytes() for name in names]
    alone = [small.ask("/features", {"keys": [name]}).json["results"][0] for name in names]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(small.upload, "/features", pictures[0])
        assert brake.entered.wait(10)
        waiting = [pool.submit(small.upload, "/features", one) for one in pictures]
        time.sleep(0.2)
        brake.free.set()
        replies: list[Reply] = [one.result() for one in (first, *waiting)]
    assert brake.sizes == [1, 2]
    found = [reply.json["results"][0]["vector"] for reply in replies[1:]]
    for vector, expected in zip(found, alone, strict=True):
        assert np.allclose(vector, expected["vector"])


def test_what_takes_too_long_is_given_up(small: Client, brake: Brake, picture: bytes) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(small.upload, "/predict", picture)
        assert brake.entered.wait(10)
        second = small.upload("/predict", picture)
        assert (first.result().status, second.status) == (504, 504)
        assert second.headers["retry-after"] == "5"
        brake.free.set()
    assert small.upload("/predict", picture).status == 200
    assert sum(brake.sizes) == 2  # The second one was not computed when nobody waited.


def test_a_client_that_goes_away_costs_nothing(small: Client, brake: Brake, picture: bytes) -> None:
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(small.upload, "/predict", picture)
        assert brake.entered.wait(10)
        with socket.create_connection((small.host, small.port), timeout=10) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                + f"Content-Length: {len(picture)}\r\n\r\n".encode()
                + picture
            )
            time.sleep(0.3)
        time.sleep(0.2)
        brake.free.set()
        assert first.result().status == 200
    assert small.upload("/predict", picture).status == 200
    assert brake.sizes == [1, 1]


def test_a_body_that_does_not_come_is_not_waited_for(small: Client, picture: bytes) -> None:
    connections = []
    for _ in range(3):
        connection = socket.create_connection((small.host, small.port), timeout=10)
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 50\r\n\r\nabc"
        )
        connections.append(connection)
    until(lambda: small.upload("/predict", picture).status == 429)
    assert connections[0].recv(12)[9:] == b"408"
    for connection in connections:
        connection.close()
    until(lambda: small.upload("/predict", picture).status == 200)


def test_what_was_taken_is_answered_before_the_end(
    store: Path, brake: Brake, picture: bytes
) -> None:
    server = featx.serve(store, layer="mean", port=0)
    client = Client(server.url)
    with ThreadPoolExecutor(5) as pool:
        taken = [pool.submit(client.upload, "/features", picture) for _ in range(3)]
        assert brake.entered.wait(10)
        time.sleep(0.3)
        closing = pool.submit(server.close)
        time.sleep(0.3)
        brake.free.set()
        closing.result()
        assert [one.result().status for one in taken] == [200] * 3
    assert "closed" in repr(server)
    with pytest.raises(OSError, match="refused"):
        client.get("/healthz")


def test_a_port_that_is_taken(server: featx.Server, store: Path) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="Choose another port with port="):
        featx.serve(store, port=port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "192.0.2.1"])
def test_an_address_that_is_not_of_this_machine(store: Path, tmp_path: Path, host: str) -> None:
    token = tmp_path / "token.txt"
    token.write_text("x" * 20)
    with pytest.raises(OSError, match="host= is an address of this machine"):
        featx.serve(store, host=host, port=0, token_file=token)
