"""What killed commands leave behind is removed, or gone on with, by the next one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import featx
import featx.store.format
from featx.extraction import ExtractReport, extract
from featx.store import merge_stores, pack_store, verify_store
from featx.store.parts import MERGE_NAME, OVERWRITE_NAME, list_parts, parts_folder
from featx.store.seal import SEAL_BYTES
from featx.testing import write_images
from tests.folder_model import PICTURES, counts
from tests.store_samples import write_color


def failing(code: int) -> Callable[..., Any]:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


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


@pytest.fixture
def view(toy: str, photos: Path, tmp_path: Path, small_parts: None) -> Path:
    """A view of three parts."""
    store = tmp_path / "features.h5"
    options: dict[str, Any] = {"layers": ["mean"], "batch_size": 1, "single_file_limit": 0}
    extract(write_images(3, photos), model=toy, output=store, **options)
    return store


def flip(path: Path, layer: str = "features/f000") -> None:
    """Damage the first chunk of a layer."""
    with h5py.File(path, "r") as file:
        offset = file[layer].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset if offset >= SEAL_BYTES else offset + SEAL_BYTES] ^= 0xFF
    path.write_bytes(data)


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


def interrupt_overwrite(view: Path, photos: Path, toy: str, patch: pytest.MonkeyPatch) -> None:
    with patch.context() as inner:
        inner.setattr("featx.extraction.running.assemble_store", failing(errno.EINTR))
        with pytest.raises(OSError, match="Interrupted"):
            extract(photos, model=toy, layers=["mean"], output=view, overwrite=True)


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
    half = parts_folder(view) / f"{OVERWRITE_NAME}.4711.tmp"
    half.write_text("{")
    write_images(4, photos)
    extract(photos, model=toy, layers=["mean"], output=view)
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


def stop(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


RED, GREEN, BLUE, _ = PICTURES


@pytest.mark.parametrize("tidy", ["pack", "repair"])
def test_interrupted_overwrite_survives(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_interrupted: Callable[..., None],
    tidy: str,
) -> None:
    write_color(photos / "a.png", RED)
    write_color(photos / "b.png", GREEN)
    run(single_file_limit=0)
    (photos / "b.png").unlink()
    run_interrupted(overwrite=True)
    if tidy == "pack":
        pack_store(store)
    else:
        damaged = next(parts_folder(store).glob("part-000000.h5"))
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
        verify_store(store, repair=True)
    assert (parts_folder(store) / OVERWRITE_NAME).exists()
    assert counts(run()) == {"rows": 1, "skipped": 1}


def test_half_written_marker_of_a_killed_overwrite_is_removed(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    write_color(photos / "a.png", RED)
    run(single_file_limit=0)
    leftover = parts_folder(store) / f"{OVERWRITE_NAME}.123.tmp"
    leftover.write_text("{")
    write_color(photos / "b.png", GREEN)
    run()
    assert not leftover.exists()


Run = Callable[..., ExtractReport]


def test_the_advice_does_not_cost_the_store(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(3, photos)
    run(single_file_limit=0)
    with monkeypatch.context() as patch:
        patch.setattr("featx.extraction.running.assemble_store", stop)
        with pytest.raises(KeyboardInterrupt):
            run(overwrite=True, preprocess="raw")
    with pytest.raises(ValueError, match=r"delete overwrite\.json and part-000001\.h5 in it"):
        run()
    for name in ("overwrite.json", "part-000001.h5"):
        (parts_folder(store) / name).unlink()
    assert run().skipped == 3


def test_a_killed_merge_to_a_view_is_done_again(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(6, photos)
    sources = [store.with_name(f"{number}.h5") for number in (1, 2)]
    for number, source in enumerate(sources, 1):
        run(output=source, shard=(number, 2))
    with monkeypatch.context() as patch:
        patch.setattr("featx.store.assembly.write_store", stop)
        with pytest.raises(KeyboardInterrupt):
            merge_stores(sources, store, single_file_limit=0)
    assert (parts_folder(store) / MERGE_NAME).exists()
    assert merge_stores(sources, store, single_file_limit=0).rows == 6
    assert not (parts_folder(store) / MERGE_NAME).exists()
    assert verify_store(store).is_intact


def test_an_overwrite_of_a_damaged_store_goes_on(
    run: Run, photos: Path, store: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(3, photos)
    run()
    store.write_bytes(store.read_bytes()[:3000])
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr("featx.extraction.running.assemble_store", stop)
            with pytest.raises(KeyboardInterrupt):
                featx.extract(
                    photos, model="toy:colors", layers=["mean"], output=store, overwrite=True
                )
    assert run(overwrite=True).skipped == 3
