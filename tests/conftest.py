"""Fixtures that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx.testing.toy
from featx.extraction import ExtractReport, extract
from featx.models import SOURCES, ModelRequest
from featx.testing import ToyBackbone, toy_model
from featx.user_cache import CACHE_VARIABLE
from tests.browser import Browser, start_browser
from tests.store_samples import make_parts_small

# Also where bytecode is not kept: rewriting the assertions of all test modules takes each worker
# half as long as the rest of its collection.
sys.dont_write_bytecode = False

# Threads of FAISS and scikit-learn spin while they wait for work, and take the cores from other
# tests. Read when OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True, scope="session")
def _bytecode_is_kept() -> Iterator[None]:
    """Tests start many processes: where bytecode is not kept, each compiles featx anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither read nor fill the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Tests cut no power: without this, most of their time is spent in fsync on slow disks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def toy() -> Iterator[str]:
    """The toy's reference; the source ``toy`` is forgotten afterwards."""
    yield toy_model()
    SOURCES.remove("toy")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch becomes a part of its own, as if a row were 64 MiB."""
    make_parts_small(monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder for images, beside which stores may lie."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "features.h5"


@pytest.fixture
def run(toy: str, photos: Path, store: Path) -> Callable[..., ExtractReport]:
    """Run `extract` on the folder `photos` with the toy's layer ``mean``."""

    def run(**options: Any) -> ExtractReport:
        arguments: dict[str, Any] = {"model": toy, "layers": ["mean"], "output": store} | options
        return extract(arguments.pop("images", photos), **arguments)

    return run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of all batches that any toy computes."""
    sizes: list[int] = []
    real = ToyBackbone.__call__

    def spy(self: ToyBackbone, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        sizes.append(len(images))
        return real(self, images, names)

    monkeypatch.setattr(ToyBackbone, "__call__", spy)
    return sizes


@pytest.fixture
def other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the toy loads with other weights than it had."""
    real = featx.testing.toy.load

    def load(request: ModelRequest) -> ToyBackbone:
        backbone = real(request)
        backbone.spec = replace(backbone.spec, weights_sha256="other")
        return backbone

    monkeypatch.setattr(featx.testing.toy, "load", load)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A running Chromium; tests are skipped where there is none."""
    yield from start_browser()
