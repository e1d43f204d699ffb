"""Stores that are replaced, and parts that vanish, while they are opened."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import featx.store.opening
from featx.errors import StoreError
from featx.extraction import extract
from featx.store import open_store, pack_store
from featx.store.parts import list_parts
from featx.store.values import PartFiles
from featx.testing import write_images


@pytest.fixture
def view(toy: str, photos: Path, tmp_path: Path, small_parts: None) -> Path:
    """A view of three parts."""
    store = tmp_path / "features.h5"
    options: dict[str, Any] = {"layers": ["mean"], "batch_size": 1, "single_file_limit": 0}
    extract(write_images(3, photos), model=toy, output=store, **options)
    return store


def test_a_store_that_is_replaced_while_it_is_opened_is_not_damaged(
    view: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, real = view.read_bytes(), featx.store.opening.read_seal
    pack_store(view)
    new = view.read_bytes()
    view.write_bytes(old)

    def replace_after(path: Path) -> Any:
        seal = real(path)
        view.write_bytes(new)  # Between reading the seal and asking for the size.
        return seal

    monkeypatch.setattr(featx.store.opening, "read_seal", replace_after)
    with open_store(view) as store:
        assert len(store) == 3


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_part_that_goes_while_it_is_opened_means_a_newer_version(
    view: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PartFiles.check

    def pack_after(self: PartFiles, number: int) -> None:
        real(self, number)
        with monkeypatch.context() as patch:
            patch.setattr(PartFiles, "check", real)
            pack_store(view)  # Between checking a part and opening it.
        monkeypatch.setattr("featx.store.values.open_part", failing(errno.ENOENT))

    with open_store(view) as store:
        monkeypatch.setattr(PartFiles, "check", pack_after)
        with pytest.raises(StoreError, match="replaced by a newer version"):
            _ = store.features("mean")[:]


def test_a_parts_folder_that_goes_while_it_is_listed_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", failing(errno.ENOENT))
    assert list_parts(tmp_path) == []
