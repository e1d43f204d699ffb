"""What readers of the code have found; each in the least that shows it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import featx
from featx.errors import StoreDamaged, StoreError
from featx.extraction import extract
from featx.extraction.report import ExtractReport
from featx.images.sources import ImageFailure
from featx.store import merge_stores, open_store, pack_store, verify_store
from featx.store.parts import MERGE_NAME, list_parts, parts_folder
from featx.store.values import read_dataset
from featx.testing import write_images
from tests.store_samples import means, write_color, write_sample

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


def test_the_advice_does_not_cost_the_store(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(3, photos)
    run(single_file_limit=0)
    with monkeypatch.context() as patch:
        patch.setattr("featx.extraction.running.assemble_store", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(overwrite=True, preprocess="raw")
    with pytest.raises(ValueError, match=r"delete overwrite\.json and part-000001\.h5 in it"):
        run()
    for name in ("overwrite.json", "part-000001.h5"):
        (parts_folder(store) / name).unlink()
    assert run().skipped == 3


def stopped(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_an_image_that_cannot_be_read_just_now_keeps_its_row(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(3, photos)
    run()
    before = means(store)
    os.utime(photos / "image_1.png", (1, 1))
    real = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == "image_1.png":
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        for _ in range(2):
            report = run()
            assert (report.rows, report.failed) == (3, 1)
            assert means(store) == before
    report = run()
    assert (report.rows, report.failed, report.done) == (3, 0, 0)
    with open_store(store) as opened:
        assert opened.failures == ()


def test_a_killed_merge_to_a_view_is_done_again(
    run: Run, photos: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(6, photos)
    sources = [store.with_name(f"{number}.h5") for number in (1, 2)]
    for number, source in enumerate(sources, 1):
        run(output=source, shard=(number, 2))
    with monkeypatch.context() as patch:
        patch.setattr("featx.store.assembly.write_store", stopped)
        with pytest.raises(KeyboardInterrupt):
            merge_stores(sources, store, single_file_limit=0)
    assert (parts_folder(store) / MERGE_NAME).exists()
    assert merge_stores(sources, store, single_file_limit=0).rows == 6
    assert not (parts_folder(store) / MERGE_NAME).exists()
    assert verify_store(store).is_intact


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


def test_rows_far_apart_are_read_in_linear_time(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("d", data=np.arange(200_000.0), chunks=(1000,))
        rows = np.random.default_rng(0).permutation(200_000)[:60_000]
        np.testing.assert_array_equal(read_dataset(dataset, rows), rows)  # It took minutes.


def test_an_overwrite_of_a_damaged_store_goes_on(
    run: Run, photos: Path, store: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(3, photos)
    run()
    store.write_bytes(store.read_bytes()[:3000])
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr("featx.extraction.running.assemble_store", stopped)
            with pytest.raises(KeyboardInterrupt):
                featx.extract(
                    photos, model="toy:colors", layers=["mean"], output=store, overwrite=True
                )
    assert run(overwrite=True).skipped == 3


def test_the_ledger_keeps_what_was_not_named(run: Run, photos: Path, store: Path, toy: str) -> None:
    write_images(2, photos)
    (photos / "bad.jpg").write_bytes(b"no picture")
    run()
    extract(photos / "image_0.png", model=toy, layers=["mean"], output=store)
    write_color(photos / "new.png", (1, 1, 1))
    extract(photos / "new.png", model=toy, layers=["mean"], output=store)
    with open_store(store) as opened:
        assert [failure.key for failure in opened.failures] == ["bad.jpg"]


def test_a_failure_in_one_store_costs_no_row_of_another(tmp_path: Path) -> None:
    failure = ImageFailure("image_0.png", "damaged", 5, 7)
    write_sample(tmp_path / "a.h5", {"v": np.ones((2, 2), np.float32)})
    write_sample(
        tmp_path / "b.h5", {"v": np.ones((1, 2), np.float32)}, ["b.png"], failures=[failure]
    )
    for keep in ("error", "first", "last"):
        output = tmp_path / f"{keep}.h5"
        merge_stores([tmp_path / "a.h5", tmp_path / "b.h5"], output, keep=keep)
        with open_store(output) as store:
            assert (store.keys, store.failures) == (("image_0.png", "image_1.png", "b.png"), ())


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


def test_a_row_that_hdf5_cannot_hold_is_refused_before_the_work(photos: Path, store: Path) -> None:
    from featx.testing.wide import register_wide_model

    write_images(1, photos)
    with pytest.raises(StoreError, match=r"A row of 'wide' has 8\.0 GB"):
        extract(photos, model=register_wide_model(2 * 10**9), layers=["wide"], output=store)


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


def test_another_folder_is_refused_when_that_of_the_store_is_gone(
    run: Run, photos: Path, store: Path, toy: str
) -> None:
    write_images(3, photos)
    run()
    photos.rename(photos.with_name("away"))
    other = photos.with_name("other")
    write_color(other / "else.png", (1, 2, 3))
    with pytest.raises(ValueError, match="which is gone: none of its images is here"):
        extract(other, model=toy, layers=["mean"], output=store, prune=True)
    moved = extract(photos.with_name("away"), model=toy, layers=["mean"], output=store, prune=True)
    assert (moved.rows, moved.skipped) == (3, 3)
