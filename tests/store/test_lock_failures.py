"""Locks on a full disk, and without locks of the system."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featx.errors import StoreError, StoreLocked
from featx.store import lock
from featx.store.lock import lock_for_writing


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_no_room_for_the_lock_is_a_stated_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", failing(errno.ENOSPC))
    with (
        pytest.raises(StoreError, match="cannot be written: No space left"),
        lock_for_writing(tmp_path / "f.h5.parts"),
    ):
        pass


def test_without_system_locks_the_second_writer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    folder = tmp_path / "f.h5.parts"
    with lock_for_writing(folder):
        with pytest.raises(StoreLocked, match="is writing to"), lock_for_writing(folder):
            pass  # It was "Bad file descriptor": the lock's file was closed twice.
        assert (folder / lock.CLAIM_NAME).exists()
    with lock_for_writing(folder):
        pass


def test_without_system_locks_no_claim_stays_that_names_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    folder = tmp_path / "f.h5.parts"
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", failing(errno.ENOSPC))
        with pytest.raises(StoreError, match="No space left"), lock_for_writing(folder):
            pass
    assert not (folder / lock.CLAIM_NAME).exists()
    with lock_for_writing(folder):
        pass


def test_a_writer_flushes_the_names_that_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else a power cut can take back the name of a store, and not the removal of its parts.
    flushed: list[Path] = []
    monkeypatch.setattr(lock, "sync_path", flushed.append)
    with lock_for_writing(tmp_path / "f.h5.parts"):
        assert flushed == [tmp_path / "f.h5.parts", tmp_path]
