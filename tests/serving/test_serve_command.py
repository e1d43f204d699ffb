"""`featx serve` as a process: its address, its end, and what is missing."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import featx
from tests.cli.program import Program
from tests.serving.client import Client

COMMAND = [sys.executable, "-m", "featx", "serve", "--no-browser", "--port", "0"]


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_it_ends_when_it_is_told_to(store: Path, tmp_path: Path, number: int) -> None:
    copy = shutil.copy(store, tmp_path / "f.h5")
    process = subprocess.Popen(
        [*COMMAND, str(copy), "--layer", "mean"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    client = Client(url)
    assert client.get("/healthz").status == 200
    statuses: list[int | str] = []
    begun = threading.Barrier(5)

    def ask() -> None:
        begun.wait()
        for _ in range(200):
            try:
                reply = client.ask("/search", {"keys": ["photos/dark/image_0.png"], "k": 3})
                statuses.append(reply.status)
            except ConnectionRefusedError:
                return

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(ask)
        begun.wait()
        while len(statuses) < 8:
            pass
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode in (0, 130, -number), err
    assert "Traceback" not in err
    assert set(statuses) == {200}  # What was taken was answered; the rest was refused.
    assert out == ""


def test_what_comes_over_an_open_connection_is_answered_at_the_end(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.serving.graceful.LINGER", 60)
    with featx.serve(store, layer="mean", port=0) as server:
        parts = urlsplit(server.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        connection.request("GET", "/healthz")
        assert not read_last(connection)
        closing = threading.Thread(target=server.close)
        closing.start()
        with contextlib.suppress(ConnectionRefusedError):
            while True:  # Until it takes no more connections.
                socket.create_connection((parts.hostname, parts.port)).close()
                time.sleep(0.02)
        connection.request("GET", "/healthz")
        assert read_last(connection)
        closing.join(30)
        assert not closing.is_alive(), "no connection is left to wait for"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="it looks at the files in /proc")
def test_the_body_of_an_answer_does_not_wait_for_its_headers_to_be_acknowledged(
    server: featx.Server,
) -> None:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    with contextlib.ExitStack() as stack:
        copies = [stack.enter_context(one) for one in open_sockets()]
        others = [one for one in copies if peer_of(one) == connection.sock.getsockname()]
        assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in others] == [1]
    connection.close()


def open_sockets() -> Iterator[socket.socket]:
    """Yield copies of the sockets of this process."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(entry.stat().st_mode):
                yield socket.socket(fileno=os.dup(int(entry.name)))


def peer_of(one: socket.socket) -> Any:
    """Return the address at the other end, or None."""
    try:
        return one.getpeername()
    except OSError:
        return None


def read_last(connection: http.client.HTTPConnection) -> bool:
    """Read an answer; whether it is the last of its connection."""
    answer = connection.getresponse()
    assert (answer.status, bool(answer.read())) == (200, True)
    return answer.will_close


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(featx.FeatxError, match=r'pip install "featx\[serve\]"'):
        featx.serve(tmp_path / "f.h5", port=0)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["none.h5", "--port", "0"], 1, "There is no feature store 'none.h5'"),
        (["none.h5", "--host", "0.0.0.0"], 2, "name a file with a token"),
        (["none.h5", "--max-upload", "x"], 2, "A size is a number of bytes"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = Program(monkeypatch, capfd)("serve", *options)
    assert outcome.status == status
    assert message in outcome.err
    assert outcome.err.count("\n") <= 3
