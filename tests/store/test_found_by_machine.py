"""What `tests/test_store_machine.py` has found, in short."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featx.errors import StoreError
from featx.extraction import ExtractReport
from featx.store import open_store, pack_store, verify_store
from featx.store.parts import AFRESH_NAME, parts_folder
from tests.folder_model import PICTURES, counts
from tests.store_samples import write_color

RED, GREEN, BLUE, _ = PICTURES


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_identical_files_keep_their_place_however_the_work_was_divided(
    photos: Path, store: Path, run: Callable[..., ExtractReport], batch_size: int
) -> None:
    for key, color in {"a.png": RED, "b.png": RED, "c.png": GREEN, "d.png": BLUE}.items():
        write_color(photos / key, color)
    run(batch_size=batch_size)
    with open_store(store) as opened:
        assert opened.keys == ("a.png", "b.png", "c.png", "d.png")


def stop(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def run_interrupted(
    run: Callable[..., ExtractReport], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Extract until everything is computed, and end before the store is made."""

    def run_interrupted(**options: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("featx.extraction.running.assemble_store", stop)
            with pytest.raises(KeyboardInterrupt):
                run(**options)

    return run_interrupted


def test_one_new_image_is_the_new_name_of_one_row(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_interrupted: Callable[..., None],
) -> None:
    for key in ("a.png", "b.png"):
        write_color(photos / key, RED)
    run()
    (photos / "a.png").unlink()
    (photos / "b.png").rename(photos / "c.png")
    run_interrupted()
    os.utime(photos / "c.png", (5, 5))
    assert counts(run()) == {"rows": 2, "skipped": 1, "renamed": 1, "missing": 1}


def test_row_stays_when_its_new_name_has_become_another_image(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_interrupted: Callable[..., None],
) -> None:
    write_color(photos / "a.png", RED)
    run()
    (photos / "a.png").rename(photos / "b.png")
    run_interrupted()
    write_color(photos / "b.png", GREEN, mtime=5)
    assert counts(run()) == {"rows": 2, "done": 1, "missing": 1}


def test_row_stays_when_its_new_name_is_gone_too(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_interrupted: Callable[..., None],
) -> None:
    for key in ("a.png", "b.png", "c.png"):
        write_color(photos / key, GREEN if key == "c.png" else RED)
    run_interrupted()
    (photos / "b.png").unlink()
    assert counts(run()) == {"rows": 3, "skipped": 2, "missing": 1}


def test_dry_run_knows_what_an_interrupted_run_has_renamed(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_interrupted: Callable[..., None],
) -> None:
    write_color(photos / "a.png", RED)
    run()
    (photos / "a.png").rename(photos / "b.png")
    run_interrupted()
    foretold = counts(run(dry_run=True))
    assert foretold == counts(run()) == {"rows": 1, "skipped": 1, "renamed": 1}


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
    assert (parts_folder(store) / AFRESH_NAME).exists()
    assert counts(run()) == {"rows": 1, "skipped": 1}


def test_repair_of_a_packed_store_does_not_go_on_with_the_damaged_file(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    write_color(photos / "a.png", RED)
    run(single_file_limit=0)
    pack_store(store)
    content = store.read_bytes()
    store.write_bytes(content.replace(b"\nsha256 ", b"\nsha25! ", 1))
    assert [damage.keys for damage in verify_store(store, repair=True).damages] == [()]
    assert verify_store(store).is_intact
    assert counts(run()) == {"rows": 1, "skipped": 1}


def test_repair_mixes_no_parts_of_different_models(
    photos: Path,
    store: Path,
    toy: str,
    run: Callable[..., ExtractReport],
    run_interrupted: Callable[..., None],
) -> None:
    write_color(photos / "a.png", RED)
    run(single_file_limit=0)
    run_interrupted(overwrite=True, model=f"{toy},weights=2")
    store.write_bytes(store.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreError, match="made in different ways"):
        verify_store(store, repair=True)
    assert counts(run(overwrite=True)) == {"rows": 1, "done": 1}


def test_half_written_marker_of_a_killed_overwrite_is_removed(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    write_color(photos / "a.png", RED)
    run(single_file_limit=0)
    leftover = parts_folder(store) / f"{AFRESH_NAME}.123.tmp"
    leftover.write_text("{")
    write_color(photos / "b.png", GREEN)
    run()
    assert not leftover.exists()
