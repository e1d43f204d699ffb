"""Identical and renamed images, however the work was divided."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from featx.extraction import ExtractReport
from featx.store import open_store
from tests.folder_model import PICTURES, counts
from tests.store_samples import write_color

RED, GREEN, BLUE, _ = PICTURES


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_identical_files_keep_their_position_however_the_work_was_divided(
    photos: Path, store: Path, run: Callable[..., ExtractReport], batch_size: int
) -> None:
    for key, color in {"a.png": RED, "b.png": RED, "c.png": GREEN, "d.png": BLUE}.items():
        write_color(photos / key, color)
    run(batch_size=batch_size)
    with open_store(store) as opened:
        assert opened.keys == ("a.png", "b.png", "c.png", "d.png")


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
