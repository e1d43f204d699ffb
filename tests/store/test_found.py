"""Defects that tests found and that are not mended yet."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import featx.store.lock as lock_module
from featx.errors import StoreDamaged, StoreError, StoreLocked
from featx.extraction import ExtractReport
from featx.store import open_store
from featx.store.lock import lock_for_writing
from tests.store import test_lock
from tests.store.test_lock import REFUSAL, claim, dead_process, forbid_locks, other_process
from tests.store_samples import (
    all_rows,
    write_color,
    write_numbered,
    write_sample,
    write_view,
)

ROWS = np.arange(20, dtype=np.float32).reshape(4, 5)


@pytest.mark.parametrize("selection", [(), (..., 1, 2), (None, 2), (None, slice(2), 1)], ids=repr)
def test_selection_is_that_of_an_array(tmp_path: Path, selection: Any) -> None:
    write_sample(tmp_path / "s.h5", {"v": ROWS})
    with open_store(tmp_path / "s.h5") as store:
        np.testing.assert_array_equal(store.features("v")[selection], ROWS[selection])


def test_other_limit_alone_changes_the_kind(
    run: Callable[..., ExtractReport], photos: Path, store: Path, calls: list[int]
) -> None:
    write_numbered(photos, 9)
    run(single_file_limit=50)
    before = all_rows(store)
    calls.clear()
    for limit in (10**6, 50):
        run(single_file_limit=limit)
        with open_store(store) as opened:
            assert opened.header.single_file_limit == limit
            assert (opened.row_map is None) == (limit == 10**6)
        assert all_rows(store) == before
    assert calls == []


@pytest.mark.parametrize("kind", ["file", "view"])
def test_open_store_does_not_depend_on_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "file":
        write_sample(tmp_path / "s.h5", {"v": ROWS})
    else:
        write_view(tmp_path / "s.h5", {"v": ROWS}, [(0, 0), (0, 1), (1, 0), (1, 1)])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_store("s.h5") as store:
        store.close()  # As `load_columns` and long jobs do; it is opened again.
        monkeypatch.chdir(tmp_path / "elsewhere")
        np.testing.assert_array_equal(store.features("v")[:], ROWS)


def test_store_that_plain_h5py_has_open_is_not_called_damaged(tmp_path: Path) -> None:
    write_sample(tmp_path / "s.h5", {"v": ROWS})
    with (
        h5py.File(tmp_path / "s.h5", "r", locking=True),
        pytest.raises(StoreError, match="locking=False") as caught,
    ):
        open_store(tmp_path / "s.h5")
    assert not isinstance(caught.value, StoreDamaged)


def test_foreign_hdf5_file_is_not_taken_for_an_old_store(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["layer_weights"] = ROWS
    # --overwrite, which the message advises, refuses this file with good reason.
    with pytest.raises(StoreDamaged, match="not a feature store"):
        open_store(tmp_path / "weights.h5")


# Views


def test_parts_of_a_renamed_view_are_not_taken_by_a_new_store(
    run: Callable[..., ExtractReport], photos: Path, store: Path, small_parts: None
) -> None:
    write_numbered(photos, 5)
    run(single_file_limit=50, batch_size=2)
    before = all_rows(store)
    renamed = store.with_name("renamed.h5")
    store.rename(renamed)
    with contextlib.suppress(StoreError):  # It may refuse and say why.
        run(batch_size=2)
    assert all_rows(renamed) == before  # Its parts were taken as unfinished work, and deleted.


def test_lost_view_is_made_anew_although_a_changed_row_was_moved(
    run: Callable[..., ExtractReport],
    photos: Path,
    store: Path,
    small_parts: None,
    calls: list[int],
) -> None:
    write_numbered(photos, 8)
    run(single_file_limit=30, batch_size=4)
    write_color(photos / "1.png", (7, 8, 9))  # Into a part with two others,
    for number in (8, 9):
        write_color(photos / f"{number}.png", (7, 8, number + 2))
    run(batch_size=4)
    for number in (8, 9):
        (photos / f"{number}.png").unlink()
    run(prune=True)  # which go: it is moved to rows-000000; part-000000 has its old row.
    before = all_rows(store)
    store.unlink()
    calls.clear()
    run(single_file_limit=30)
    assert calls == []
    assert sorted(all_rows(store)[:-1]) == sorted(before[:-1])


# Where the file system has no locks: a refusal closes a descriptor twice.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features.h5.parts"


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_locks(monkeypatch, errno.ENOLCK)


@pytest.mark.usefixtures("no_locks")
def test_second_writer_is_refused_where_there_are_no_locks(folder: Path) -> None:
    with other_process(folder, "claim") as owner:
        expected = REFUSAL.format(pid=owner.pid, host=re.escape(socket.gethostname()))
        with pytest.raises(StoreLocked, match=expected), lock_for_writing(folder):
            pytest.fail("two writers at once")
        owner.communicate()
    assert not folder.exists()


@pytest.mark.usefixtures("no_locks")
def test_claim_of_a_living_process_is_refused_where_starts_are_unknown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "_process_start", lambda pid: None)
    claim(folder, process_started=None)
    with pytest.raises(StoreLocked), lock_for_writing(folder):
        pytest.fail("two writers at once")
    claim(folder, pid=dead_process(), process_started=None)
    with lock_for_writing(folder):
        pass


@pytest.mark.usefixtures("no_locks")
def test_claim_of_another_machine_is_refused_and_says_how_to_remove_it(folder: Path) -> None:
    path = claim(folder, host="another-machine", pid=dead_process())
    with (
        pytest.raises(
            StoreLocked,
            match=rf"on another-machine \(since 2023-11-1.*If it no longer runs, delete "
            rf"{re.escape(repr(str(path)))}\.",
        ),
        lock_for_writing(folder),
    ):
        pytest.fail("two writers at once")
    assert path.exists()
    path.unlink()  # As the message says.
    with lock_for_writing(folder):
        pass


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"pid": "x"}', '{"pid": 1, "since": 1e99, "host": "h"}']
)
def test_claim_that_names_nobody_is_refused_and_says_how_to_remove_it(
    folder: Path, text: str
) -> None:
    path = claim(folder)
    path.write_text(text)  # Half written, by a process between two steps or killed there.
    with (
        pytest.raises(StoreLocked, match=r"is writing to .*delete '.*lock\.claim'"),
        lock_for_writing(folder),
    ):
        pytest.fail("two writers at once")


def test_of_many_writers_one_at_a_time_gets_in_where_there_are_no_locks(tmp_path: Path) -> None:
    # Besides: a claim is given back although `_tidy` has removed it and it is another's by now,
    # and a folder that goes meanwhile is a FileNotFoundError.
    test_lock.test_of_many_writers_one_at_a_time_gets_in(tmp_path, "claim")
