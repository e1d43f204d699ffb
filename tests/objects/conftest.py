"""A bucket of a real server of S3's protocol, and machines that have nothing but it in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from featx.user_cache import CACHE_VARIABLE
from tests.objects.server import ObjectServer

SECRET = "wJalrXUtnFEMIK7MDENG"


@pytest.fixture(scope="session")
def started() -> Iterator[tuple[ObjectServer, str]]:
    pytest.importorskip("moto", reason="the server of the test extra is not installed")
    pytest.importorskip("s3fs", reason="featx[s3] is not installed")
    server = ObjectServer()
    address = server.start()
    yield server, address
    server.stop()


@pytest.fixture
def server(
    started: tuple[ObjectServer, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ObjectServer]:
    """The server with an empty bucket ``photos``, and this machine's settings for it."""
    server, address = started
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",  # Each repetition waits longer.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        CACHE_VARIABLE: str(tmp_path_factory.mktemp("machine")),
    }.items():
        monkeypatch.setenv(name, value)
    server.fault = None
    server.empty("photos")
    server.clear()
    yield server
    server.clear()


@pytest.fixture
def other_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], None]:
    """Go to another machine: one without any copy."""

    def go() -> None:
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("machine")))

    return go
