"""Part files of views: foreign, missing, copied, renamed, joined, packed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from featx.errors import StoreDamaged, StoreError
from featx.extraction.report import ExtractReport
from featx.store import open_store, pack_store, verify_store
from featx.store.parts import list_parts, parts_folder
from featx.testing import write_images
from tests.store_samples import means, write_color

Run = Callable[..., ExtractReport]


def test_a_foreign_part_is_not_taken_over(run: Run, photos: Path, store: Path) -> None:
    write_images(6, photos)
    run(single_file_limit=0)
    run(single_file_limit=0, output=store.with_name("raw.h5"), preprocess="raw")
    shutil.copy(*(list_parts(parts_folder(p))[0] for p in (store.with_name("raw.h5"), store)))
    write_color(photos / "new.png", (1, 2, 3))
    with pytest.raises(StoreDamaged, match="its seal is not the one recorded"):
        run()
    assert not verify_store(store).is_intact


def test_extract_refuses_a_view_without_a_part(run: Run, photos: Path, store: Path) -> None:
    write_images(3, photos)
    run(single_file_limit=0)
    part = list_parts(parts_folder(store))[0]
    part.rename(part.with_name("away"))
    for options in ({}, {"dry_run": True}):
        with pytest.raises(StoreDamaged, match="is missing"):
            run(**options)
    with pytest.raises(StoreError, match="All parts of .* repairing it would drop every row"):
        verify_store(store, repair=True)
    part.with_name("away").rename(part)
    assert run().skipped == 3


def test_copies_that_a_file_manager_makes_are_left_alone(
    run: Run, photos: Path, store: Path
) -> None:
    write_images(2, photos)
    run(single_file_limit=0)
    part = list_parts(parts_folder(store))[0]
    copy = part.with_name("part-000000 (copy).h5")
    shutil.copy(part, copy)
    write_color(photos / "new.png", (1, 1, 1))
    assert run().rows == 3
    pack_store(store)
    assert copy.exists()


def test_a_view_may_be_renamed_with_its_parts(run: Run, photos: Path, store: Path) -> None:
    write_images(3, photos)
    run(single_file_limit=0)
    before = means(store)
    moved = store.with_name("moved.h5")
    parts_folder(store).rename(parts_folder(moved))
    store.rename(moved)
    assert means(moved) == before
    assert verify_store(moved).is_intact
    write_color(photos / "new.png", (1, 1, 1))
    assert run(output=moved).rows == 4
    assert verify_store(moved).is_intact


def test_small_parts_are_joined(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.store.views.MAX_SMALL", 3)
    for number in range(6):
        write_color(photos / f"{number}.png", (number, 0, 0))
        run(single_file_limit=0)
    files = [path.name for path in parts_folder(store).iterdir() if path.name != "lock"]
    assert len(files) <= 4
    assert list(means(store)) == [f"{number}.png" for number in range(6)]


def test_a_packed_store_stays_one_file(run: Run, photos: Path, store: Path) -> None:
    write_images(2, photos)
    run(single_file_limit=0)
    pack_store(store)
    write_color(photos / "new.png", (1, 1, 1))
    run()
    assert not parts_folder(store).exists()
    assert run(single_file_limit=0).rows == 3
    with open_store(store) as opened:
        assert opened.row_map is not None


def test_a_link_is_the_store_that_it_leads_to(run: Run, photos: Path, store: Path) -> None:
    write_images(6, photos)
    run(single_file_limit=0)
    link = store.parent / "elsewhere" / "link.h5"
    link.parent.mkdir()
    link.symlink_to(store)
    assert verify_store(link, repair=True).is_intact
    assert len(means(link)) == 6
    pack_store(link)
    assert link.is_symlink()
    assert not parts_folder(store).exists()
