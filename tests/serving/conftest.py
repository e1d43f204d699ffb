"""A server of a small collection; the network is one without TensorFlow.

Servers live as long as the tests of this folder run: their threads are none of other tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import featx
from tests.serving.client import Client, write_collection
from tests.serving.page import serve_page


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_collection(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="package")
def server(store: Path) -> Iterator[featx.Server]:
    with featx.serve(store, head=store.parent / "head", layer="mean", port=0) as server:
        yield server


@pytest.fixture(scope="package")
def client(server: featx.Server) -> Client:
    return Client(server.url)


@pytest.fixture(scope="session")
def picture(store: Path) -> bytes:
    return (store.parent / "photos/dark/image_4.png").read_bytes()


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="package")
def page_server(page_folder: Path) -> Iterator[featx.Server]:
    with serve_page(page_folder) as server:
        yield server
