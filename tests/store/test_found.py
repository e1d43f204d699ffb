"""What the stress script has found; each in the least that shows it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import featx.store.format
from featx.errors import StoreError, StoreLocked
from featx.extraction import extract
from featx.index.building import build_index
from featx.index.kinds import INDEXES
from featx.index.searching import search
from featx.index.vector_index import description_path
from featx.store import lock, merge_stores, open_store, pack_store, verify_store
from featx.store.lock import lock_for_writing
from featx.store.parts import AFRESH_NAME, list_parts, parts_folder
from featx.store.seal import SEAL_BYTES
from featx.store.values import PartFiles
from featx.testing import write_images

FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@needs_full
def test_an_index_that_finds_the_disk_full_at_the_end_is_an_error() -> None:
    # FAISS's own writer prints "close error" and returns as if the file were whole.
    index = INDEXES["flat"].build([np.ones((4, 3), np.float32)], (4, 3))
    with pytest.raises(OSError, match="No space left on device"):
        index.write(FULL)


def test_packing_again_removes_what_a_killed_one_left(
    toy: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "features.h5"
    extract(write_images(3, photos), model=toy, layers=["mean"], output=store, single_file_limit=0)
    with monkeypatch.context() as patch:
        patch.setattr("featx.store.views.remove_leftovers", failing(errno.EINTR))
        with pytest.raises(OSError, match="Interrupted"):
            pack_store(store)  # As if it were killed there: the file is whole.
    assert parts_folder(store).exists()
    assert pack_store(store).parts == 0
    assert not parts_folder(store).exists()


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
    monkeypatch.setattr(lock, "_lock_file", lambda folder, descriptor: False)
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
    monkeypatch.setattr(lock, "_lock_file", lambda folder, descriptor: False)
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


def flip(path: Path, layer: str = "features/f000") -> None:
    """Damage the first chunk of a layer."""
    with h5py.File(path, "r") as file:
        offset = file[layer].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset if offset >= SEAL_BYTES else offset + SEAL_BYTES] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture
def view(toy: str, photos: Path, tmp_path: Path, small_parts: None) -> Path:
    """A view of three parts."""
    store = tmp_path / "features.h5"
    options: dict[str, Any] = {"layers": ["mean"], "batch_size": 1, "single_file_limit": 0}
    extract(write_images(3, photos), model=toy, output=store, **options)
    return store


def interrupt_overwrite(view: Path, photos: Path, toy: str, patch: pytest.MonkeyPatch) -> None:
    with patch.context() as inner:
        inner.setattr("featx.extraction.running.assemble_store", failing(errno.EINTR))
        with pytest.raises(OSError, match="Interrupted"):
            extract(photos, model=toy, layers=["mean"], output=view, overwrite=True)


def test_repairing_again_removes_what_a_killed_one_left(
    view: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(list_parts(parts_folder(view))[1])
    with monkeypatch.context() as patch:
        patch.setattr("featx.store.views.remove_leftovers", failing(errno.EINTR))
        with pytest.raises(OSError, match="Interrupted"):
            verify_store(view, repair=True)
    assert len(list_parts(parts_folder(view))) == 3
    assert verify_store(view, repair=True).is_intact
    assert len(list_parts(parts_folder(view))) == 2


@pytest.mark.parametrize("command", ["pack", "repair"])
def test_an_interrupted_overwrite_goes_on_after(
    command: str, view: Path, photos: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_overwrite(view, photos, toy, monkeypatch)
    if command == "pack":
        pack_store(view)
    else:
        flip(list_parts(parts_folder(view))[1])
        verify_store(view, repair=True)
    # Without its marker, the parts of the overwrite were thrown away and computed again.
    report = extract(photos, model=toy, layers=["mean"], output=view, overwrite=True)
    assert (report.done, report.skipped) == (0, 3)


def test_a_half_written_marker_does_not_stay(
    view: Path, photos: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = parts_folder(view) / f"{AFRESH_NAME}.4711.tmp"
    half.write_text("{")
    write_images(4, photos)
    extract(photos, model=toy, layers=["mean"], output=view)
    assert not half.exists()


def test_a_search_goes_on_where_an_index_was_half_replaced(
    toy: str, photos: Path, tmp_path: Path
) -> None:
    store, index = tmp_path / "features.h5", tmp_path / "features.faiss"
    extract(write_images(3, photos), model=toy, layers=["mean"], output=store)
    build_index(store)
    old = description_path(index).read_bytes()
    extract(write_images(4, photos), model=toy, layers=["mean"], output=store)
    build_index(store)
    description_path(index).write_bytes(old)  # As if it were killed between its two files.
    assert search(keys=["image_0.png"], features=store).index_size == 4


def test_building_again_removes_what_a_killed_one_left(
    toy: str, photos: Path, tmp_path: Path
) -> None:
    store, half = tmp_path / "features.h5", tmp_path / f"features.faiss.{2**22 + 1}.tmp"
    extract(write_images(3, photos), model=toy, layers=["mean"], output=store)
    half.write_bytes(b"half")
    build_index(store)
    assert not half.exists()


def test_merging_again_after_a_kill_at_the_end_is_no_error(
    toy: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [tmp_path / "1.h5", tmp_path / "2.h5"]
    write_images(9, photos)
    for number, part in enumerate(parts, 1):
        extract(photos, model=toy, layers=["mean"], output=part, shard=(number, 2))
    with monkeypatch.context() as patch:
        patch.setattr("featx.store.views.remove_leftovers", failing(errno.EINTR))
        with pytest.raises(OSError, match="Interrupted"):
            merge_stores(parts, tmp_path / "merged.h5")
    assert merge_stores(parts, tmp_path / "merged.h5").rows == 9


def test_a_store_that_is_replaced_while_it_is_opened_is_not_damaged(
    view: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, real = view.read_bytes(), featx.store.format.read_seal
    pack_store(view)
    new = view.read_bytes()
    view.write_bytes(old)

    def replace_after(path: Path) -> Any:
        seal = real(path)
        view.write_bytes(new)  # Between reading the seal and asking for the size.
        return seal

    monkeypatch.setattr(featx.store.format, "read_seal", replace_after)
    with open_store(view) as store:
        assert len(store) == 3


def test_a_part_that_goes_while_it_is_opened_means_a_newer_version(
    view: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PartFiles.check

    def pack_after(self: PartFiles, number: int) -> None:
        real(self, number)
        with monkeypatch.context() as patch:
            patch.setattr(PartFiles, "check", real)
            pack_store(view)  # Between checking a part and opening it.
        monkeypatch.setattr("featx.store.values.open_file", failing(errno.ENOENT))

    with open_store(view) as store:
        monkeypatch.setattr(PartFiles, "check", pack_after)
        with pytest.raises(StoreError, match="replaced by a newer version"):
            _ = store.features("mean")[:]


def test_a_parts_folder_that_goes_while_it_is_listed_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", failing(errno.ENOENT))
    assert list_parts(tmp_path) == []
