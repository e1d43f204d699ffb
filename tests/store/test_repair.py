"""Repairing packed stores, lost views, and parts of different models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from featx.errors import StoreError
from featx.extraction import ExtractReport
from featx.store import merge_stores, pack_store, verify_store
from featx.store.parts import list_parts, parts_folder
from featx.testing import write_images
from tests.folder_model import PICTURES, counts
from tests.store_samples import means, write_color

RED, GREEN, BLUE, _ = PICTURES


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


Run = Callable[..., ExtractReport]


def test_a_lost_merged_view_keeps_its_newest_rows(run: Run, photos: Path, store: Path) -> None:
    write_images(4, photos)
    sources = [store.with_name(f"{number}.h5") for number in (1, 2)]
    for number, source in enumerate(sources, 1):
        run(output=source, shard=(number, 2), single_file_limit=0)
        write_color(photos / f"more{number}.png", (9, 9, number))
        run(output=source, shard=(number, 2))  # So that the sources count parts of their own.
    merge_stores(sources, store, single_file_limit=0)
    write_color(photos / "image_0.png", (200, 100, 50), mtime=5)
    run()
    newest = means(store)
    store.write_bytes(store.read_bytes()[:-1] + b"?")
    verify_store(store, repair=True)
    assert means(store) == newest


def test_damaged_parts_of_a_lost_view_are_named(
    run: Run, photos: Path, store: Path, small_parts: None
) -> None:
    write_images(4, photos)
    run(single_file_limit=0, batch_size=1)
    damaged = list_parts(parts_folder(store))[2]
    for path in (store, damaged):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    report = verify_store(store, repair=True)
    assert [Path(damage.file).name for damage in report.damages] == [store.name, damaged.name]
    assert run().rows == 4
    assert json.loads(json.dumps(report.to_dict()))["repaired"] is True
