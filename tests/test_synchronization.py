"""Folder and store agree again: what is read, what is computed, what only gets a new name."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx.features.computing
from featx.errors import InvalidValue
from featx.events import Listener
from featx.extraction import ExtractReport
from featx.extraction.changes import compare_folder
from featx.extraction.stored import StoredImages
from featx.images.sources import find_images
from featx.store import open_store
from featx.store.parts import parts_folder
from tests.store_samples import (
    Color,
    Sources,
    all_rows,
    content_hash,
    counts,
    failure,
    list_files,
    make_copies,
    mean_of,
    means,
    write_color,
    write_numbered,
)

Run = Callable[..., ExtractReport]

NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture
def colors(photos: Path) -> dict[str, Color]:
    """Six pictures, 0.png to 5.png."""
    return write_numbered(photos, 6)


def columns(path: Path, *names: str) -> dict[str, Any]:
    """Key → values of columns."""
    with open_store(path) as store:
        rows = zip(*(getattr(store, name) for name in names), strict=True)
        return dict(zip(store.keys, rows, strict=True))


def missing(path: Path) -> set[str]:
    with open_store(path) as store:
        return {store.keys[row] for row in np.flatnonzero(store.missing)}


# What only has another name


def test_renamed_image_keeps_its_features(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    run()
    before = means(store)
    calls.clear()
    (photos / "2.png").rename(photos / "two.png")
    assert counts(run()) == {"rows": 6, "skipped": 5, "reused": 1, "renamed": 1}
    assert calls == []
    after = means(store)
    assert after["two.png"] == before["2.png"]
    assert after == {("two.png" if k == "2.png" else k): v for k, v in before.items()}
    assert missing(store) == set()
    assert counts(run()) == {"rows": 6, "skipped": 6}


def test_image_in_another_class_folder_gets_that_label(
    photos: Path, store: Path, run: Run, calls: list[int]
) -> None:
    for name, color in [("cat", (9, 9, 9)), ("dog", (8, 8, 8))]:
        write_color(photos / name / "1.png", color)
    write_color(photos / "dog" / "stays.png", (7, 7, 7))
    run()
    calls.clear()
    shutil.move(photos / "dog" / "1.png", photos / "cat" / "2.png")
    assert counts(run()) == {"rows": 3, "skipped": 2, "reused": 1, "renamed": 1}
    assert calls == []
    assert columns(store, "labels") == {
        "cat/1.png": ("cat",),
        "cat/2.png": ("cat",),
        "dog/stays.png": ("dog",),
    }
    assert means(store)["cat/2.png"] == pytest.approx(mean_of((8, 8, 8)))


def test_renamed_folder_of_images(photos: Path, store: Path, run: Run, calls: list[int]) -> None:
    for number in range(4):
        write_color(photos / "old" / f"{number}.png", (number, 0, 0))
    write_color(photos / "other" / "x.png", (0, 0, 9))
    run()
    before = means(store)
    calls.clear()
    (photos / "old").rename(photos / "new")
    assert counts(run()) == {"rows": 5, "skipped": 1, "reused": 4, "renamed": 4}
    assert calls == []
    assert means(store) == {key.replace("old/", "new/"): row for key, row in before.items()}
    assert set(columns(store, "labels").values()) == {("new",), ("other",)}


def test_two_images_that_swap_their_names(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    run()
    before = means(store)
    calls.clear()
    (photos / "0.png").rename(photos / "x")
    (photos / "1.png").rename(photos / "0.png")
    (photos / "x").rename(photos / "1.png")
    for key in ("0.png", "1.png"):
        os.utime(photos / key, (9999, 9999))
    assert counts(run()) == {"rows": 6, "skipped": 4, "reused": 2}
    assert calls == []
    assert means(store) == before | {"0.png": before["1.png"], "1.png": before["0.png"]}


@pytest.mark.parametrize("prune", [False, True])
def test_renaming_and_pruning_are_told_apart(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color], prune: bool
) -> None:
    run()
    before = means(store)
    calls.clear()
    (photos / "2.png").rename(photos / "two.png")
    (photos / "4.png").unlink()
    left = {"removed": 1, "rows": 5} if prune else {"missing": 1, "rows": 6}
    assert counts(run(prune=prune)) == {"skipped": 4, "reused": 1, "renamed": 1} | left
    assert calls == []
    keys = {*NAMES, "two.png"} - ({"2.png", "4.png"} if prune else {"2.png"})
    assert means(store).keys() == keys
    assert means(store)["two.png"] == before["2.png"]
    assert missing(store) == (set() if prune else {"4.png"})


def test_one_of_several_identical_images_is_renamed(
    photos: Path, store: Path, run: Run, calls: list[int]
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write_color(photos / name, (5, 6, 7))
    run()
    calls.clear()
    (photos / "a.png").rename(photos / "z.png")
    (photos / "b.png").unlink()
    # One came, two went: one was renamed, the other is gone.
    assert counts(run()) == {"rows": 3, "skipped": 1, "reused": 1, "renamed": 1, "missing": 1}
    assert calls == []
    assert len(missing(store)) == 1
    assert {tuple(row) for row in means(store).values()} == {tuple(means(store)["c.png"])}


# What was copied, touched, changed


def test_copied_image_is_not_computed(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    run()
    calls.clear()
    shutil.copy(photos / "3.png", photos / "copy.png")
    assert counts(run()) == {"rows": 7, "skipped": 6, "reused": 1}
    assert calls == []
    assert means(store)["copy.png"] == means(store)["3.png"]
    hashes = columns(store, "content_hash")
    assert hashes["copy.png"][0].tobytes() == hashes["3.png"][0].tobytes()


def test_copy_outlives_its_original(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    shutil.copy(photos / "3.png", photos / "copy.png")
    run()
    row = means(store)["copy.png"]
    (photos / "3.png").unlink()
    run(prune=True)
    assert "3.png" not in means(store)
    assert means(store)["copy.png"] == row
    write_color(photos / "copy.png", (1, 1, 1))
    calls.clear()
    run()
    assert calls == [1]
    assert means(store)["copy.png"] == pytest.approx(mean_of((1, 1, 1)))


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_identical_images_are_computed_once(
    photos: Path, store: Path, run: Run, calls: list[int], batch_size: int
) -> None:
    for number in range(9):
        write_color(photos / f"{number}.png", (number % 3, 0, 0))
    report = run(batch_size=batch_size, workers=1)
    assert counts(report) == {"rows": 9, "done": 3, "reused": 6}
    assert sum(calls) == 3
    rows = means(store)
    assert list(rows) == [f"{number}.png" for number in range(9)]
    for number in range(9):
        assert rows[f"{number}.png"] == pytest.approx(mean_of((number % 3, 0, 0)))


def test_identical_images_that_fail_all_fail(
    photos: Path, store: Path, run: Run, calls: list[int]
) -> None:
    for name in ("a.png", "b.png"):
        (photos / name).write_bytes(b"no picture")
    write_color(photos / "c.png", (1, 2, 3))
    assert counts(run()) == {"rows": 1, "done": 1, "failed": 2}
    with open_store(store) as opened:
        assert {entry.key for entry in opened.failures} == {"a.png", "b.png"}


def test_touched_image_only_gets_its_new_time(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    run()
    before = means(store)
    calls.clear()
    os.utime(photos / "2.png", ns=(7, 7_777_777_777))
    assert counts(run()) == {"rows": 6, "skipped": 6}
    assert calls == []
    assert means(store) == before
    assert columns(store, "file_mtime_ns")["2.png"] == (7_777_777_777,)


def test_changed_image_is_computed_and_keeps_its_place(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    run()
    before = means(store)
    calls.clear()
    write_color(photos / "2.png", (200, 1, 1), mtime=5000)
    assert counts(run()) == {"rows": 6, "done": 1, "skipped": 5}
    assert calls == [1]
    after = means(store)
    assert list(after) == NAMES
    assert after == before | {"2.png": pytest.approx(mean_of((200, 1, 1)))}


def test_old_content_under_a_new_name_beside_a_changed_image(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    run()
    before = means(store)
    calls.clear()
    (photos / "2.png").rename(photos / "old 2.png")
    write_color(photos / "2.png", (200, 1, 1))
    assert counts(run()) == {"rows": 7, "done": 1, "skipped": 5, "reused": 1}
    assert calls == [1]
    after = means(store)
    assert after["old 2.png"] == before["2.png"]
    assert after["2.png"] == pytest.approx(mean_of((200, 1, 1)))


def test_image_that_becomes_unreadable_loses_its_row(
    photos: Path, store: Path, run: Run, colors: dict[str, Color]
) -> None:
    run()
    (photos / "2.png").write_bytes(b"no picture any more")
    assert counts(run()) == {"rows": 5, "skipped": 5, "failed": 1}
    assert "2.png" not in means(store)
    write_color(photos / "2.png", colors["2.png"])
    assert counts(run()) == {"rows": 6, "done": 1, "skipped": 5}
    with open_store(store) as opened:
        assert opened.failures == ()


# What is gone


def test_missing_marks_are_set_and_cleared(
    photos: Path, store: Path, run: Run, calls: list[int], colors: dict[str, Color]
) -> None:
    run()
    assert missing(store) == set()
    calls.clear()
    before = store.read_bytes()
    for name in ("1.png", "4.png"):
        (photos / name).rename(photos.parent / name)
    assert counts(run()) == {"rows": 6, "skipped": 4, "missing": 2}
    assert missing(store) == {"1.png", "4.png"}
    marked = store.read_bytes()
    assert marked != before
    assert counts(run()) == {"rows": 6, "skipped": 4, "missing": 2}
    assert store.read_bytes() == marked  # Nothing new: nothing is written.
    (photos.parent / "1.png").rename(photos / "1.png")
    assert counts(run()) == {"rows": 6, "skipped": 5, "missing": 1}
    assert missing(store) == {"4.png"}
    assert counts(run(prune=True)) == {"rows": 5, "skipped": 5, "removed": 1}
    assert missing(store) == set()
    assert calls == []


def test_images_that_a_command_does_not_name_are_not_missing(
    photos: Path, store: Path, run: Run, colors: dict[str, Color]
) -> None:
    run()
    assert counts(run(images=photos / "2.png", prune=True)) == {"rows": 6, "skipped": 1}
    (photos / "3.png").unlink()
    assert counts(run(images=photos / "2.png")) == {"rows": 6, "skipped": 1, "missing": 1}
    assert missing(store) == {"3.png"}


def test_ledger_forgets_images_that_are_gone(
    photos: Path, store: Path, run: Run, colors: dict[str, Color]
) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    assert counts(run()) == {"rows": 6, "done": 6, "failed": 1}
    (photos / "bad.png").unlink()
    assert counts(run()) == {"rows": 6, "skipped": 6}
    with open_store(store) as opened:
        assert opened.failures == ()


# Failures again


def test_failures_are_tried_again_when_asked(
    photos: Path, store: Path, run: Run, colors: dict[str, Color], calls: list[int]
) -> None:
    good = (photos / "2.png").read_bytes()
    (photos / "2.png").write_bytes(bytes(len(good)))
    os.utime(photos / "2.png", (50, 50))
    assert counts(run()) == {"rows": 5, "done": 5, "failed": 1}
    calls.clear()
    assert counts(run(retry_failed=True)) == {"rows": 5, "skipped": 5, "failed": 1}
    (photos / "2.png").write_bytes(good)
    os.utime(photos / "2.png", (50, 50))  # As far as size and time tell, it has not changed.
    assert counts(run()) == {"rows": 5, "skipped": 5, "failed": 1}
    assert calls == []
    assert counts(run(retry_failed=True)) == {"rows": 6, "done": 1, "skipped": 5}
    assert calls == [1]
    assert counts(run()) == {"rows": 6, "skipped": 6}


# Dry runs


def disturb(photos: Path) -> None:
    """Change a folder of 0.png to 5.png, sub/6.png and bad.png in every way."""
    write_color(photos / "new.png", (250, 250, 250))
    write_color(photos / "new twin.png", (250, 250, 250))
    write_color(photos / "0.png", (251, 251, 251), mtime=9000)
    os.utime(photos / "1.png", (9001, 9001))
    (photos / "2.png").rename(photos / "renamed.png")
    shutil.copy(photos / "3.png", photos / "copy.png")
    (photos / "4.png").unlink()
    (photos / "sub" / "6.png").rename(photos / "6.png")
    shutil.copy(photos / "5.png", photos / "sub" / "5.png")
    (photos / "5.png").write_bytes((photos / "3.png").read_bytes())


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("retry_failed", [False, True])
@pytest.mark.parametrize("limit", [None, 30])
def test_dry_run_says_what_the_real_one_does_and_writes_nothing(
    photos: Path,
    store: Path,
    run: Run,
    calls: list[int],
    colors: dict[str, Color],
    prune: bool,
    retry_failed: bool,
    limit: int | None,
) -> None:
    write_color(photos / "sub" / "6.png", (66, 66, 66))
    good = Image.new("RGB", (8, 8), (77, 77, 77))
    (photos / "bad.png").write_bytes(b"")
    os.utime(photos / "bad.png", (60, 60))
    run(single_file_limit=limit)
    if retry_failed:
        good.save(photos / "bad.png")
    disturb(photos)
    before = list_files(photos.parent)
    calls.clear()
    options = {"prune": prune, "retry_failed": retry_failed}
    dry = run(dry_run=True, **options)
    assert dry.dry_run
    assert calls == []
    assert list_files(photos.parent) == before
    real = run(**options)
    assert not real.dry_run
    assert counts(dry) == counts(real)
    assert counts(real) == {
        "rows": (10 if prune else 11) + retry_failed,
        "done": 2 + retry_failed,
        "skipped": 2,
        "reused": 6,
        "renamed": 2,
        "removed" if prune else "missing": 1,
        **({} if retry_failed else {"failed": 1}),
    }
    again = run(dry_run=True, **options)
    assert (again.rows, again.done, again.reused) == (real.rows, 0, 0)


def test_dry_run_before_there_is_a_store(
    photos: Path, store: Path, run: Run, colors: dict[str, Color]
) -> None:
    shutil.copy(photos / "3.png", photos / "copy.png")
    before = list_files(photos.parent)
    dry = run(dry_run=True)
    assert counts(dry) == {"rows": 7, "done": 6, "reused": 1}
    assert list_files(photos.parent) == before
    assert not parts_folder(store).exists()
    assert counts(run()) == counts(dry)


class Named(Listener):
    """Remembers the failures."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []

    def failure(self, path: str, reason: str) -> None:
        self.failures.append((path, reason))


EMPTY_FILE = "the file is empty (0 bytes)"


def test_dry_run_names_the_failures_that_are_known(
    photos: Path, store: Path, run: Run, colors: dict[str, Color]
) -> None:
    (photos / "bad.png").write_bytes(b"no picture")
    (photos / "away.png").symlink_to("nowhere")
    for name in ("empty.png", "void.png"):
        (photos / name).write_bytes(b"")
    listener = Named()
    dry = run(dry_run=True, listener=listener)
    assert listener.failures == [
        ("away.png", "No such file or directory"),
        ("empty.png", EMPTY_FILE),
        ("void.png", EMPTY_FILE),
    ]
    # That bad.png is no picture is not known before it is decoded.
    assert counts(dry) == {"rows": 7, "done": 7, "failed": 3}
    assert counts(run()) == {"rows": 6, "done": 6, "failed": 4}
    listener = Named()
    dry = run(dry_run=True, listener=listener)
    assert counts(dry) == {"rows": 6, "skipped": 6, "failed": 4}
    assert listener.failures == [
        ("away.png", "No such file or directory"),
        ("bad.png", "not an image in a format that featx reads (in an earlier run)"),
        ("empty.png", f"{EMPTY_FILE} (in an earlier run)"),
        ("void.png", f"{EMPTY_FILE} (in an earlier run)"),
    ]
    # Changed to nothing, an image loses its row, as in a run.
    (photos / "0.png").write_bytes(b"")
    dry = run(dry_run=True)
    assert counts(dry) == counts(run()) == {"rows": 5, "skipped": 5, "failed": 5}


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may read everything")
def test_dry_run_names_files_that_may_not_be_read(
    photos: Path, store: Path, run: Run, colors: dict[str, Color]
) -> None:
    run()
    (photos / "0.png").chmod(0)
    write_color(photos / "new.png", (99, 99, 99))
    (photos / "new.png").chmod(0)
    os.utime(photos / "0.png", (70, 70))
    listener = Named()
    dry = run(dry_run=True, listener=listener)
    assert listener.failures == [("0.png", "Permission denied"), ("new.png", "Permission denied")]
    assert counts(dry) == counts(run()) == {"rows": 6, "skipped": 5, "failed": 2}


def test_dry_run_of_an_overwrite(
    photos: Path, store: Path, run: Run, colors: dict[str, Color]
) -> None:
    run()
    (photos / "0.png").unlink()
    before = list_files(photos.parent)
    dry = run(dry_run=True, overwrite=True)
    assert counts(dry) == {"rows": 5, "done": 5}
    assert list_files(photos.parent) == before
    assert counts(run(overwrite=True)) == counts(dry)


# Several machines


def test_shards_are_disjoint_and_complete(
    photos: Path, tmp_path: Path, run: Run, calls: list[int]
) -> None:
    keys = list(write_numbered(photos, 20))
    stores = [tmp_path / f"{number}.h5" for number in (1, 2, 3)]
    for number, path in enumerate(stores, start=1):
        run(output=path, shard=(number, 3))
    assert sum(calls) == 20
    parts = [means(path) for path in stores]
    assert all(parts)
    assert sorted(itertools.chain(*parts)) == sorted(keys)
    run(output=tmp_path / "all.h5")
    assert {k: row for part in parts for k, row in part.items()} == means(tmp_path / "all.h5")


def test_shard_stays_the_same_when_images_come(
    photos: Path, store: Path, run: Run, calls: list[int]
) -> None:
    write_numbered(photos, 12)
    before = run(shard=(2, 3)).rows
    write_numbered(photos, 12, first=12)
    report = run(shard=(2, 3))
    assert (report.skipped, report.missing) == (before, 0)
    assert report.rows == before + report.done


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0), (-1, 2)])
def test_shard_that_does_not_exist(
    run: Run, colors: dict[str, Color], shard: tuple[int, int]
) -> None:
    with pytest.raises(InvalidValue, match=r"\(i, n\), whole numbers, i from 1 to n"):
        run(shard=shard)


# Large rows


def test_batches_of_huge_rows_are_smaller(
    photos: Path,
    store: Path,
    run: Run,
    calls: list[int],
    colors: dict[str, Color],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(featx.features.computing, "BATCH_BYTES", 2 * 12 + 11)
    run(batch_size=64)
    assert calls == [2, 2, 2]
    calls.clear()
    run(batch_size=64, layers=["map"], output=store.with_name("maps.h5"))  # 48 bytes each.
    assert calls == [1] * 6


# What is stored, without extracting


def test_newest_word_of_each_key_counts(tmp_path: Path) -> None:
    sources = Sources(tmp_path)
    sources.add("a.png", "b.png", "c.png", value=1, failures=[failure("d.png")])
    sources.add("b.png", "d.png", value=2, failures=[failure("c.png", "gone bad")])
    sources.add(copies=make_copies({"e.png": "a.png 1", "lost.png": "nowhere", "a.png": "b.png 2"}))
    stored = StoredImages(sources.stores)
    assert set(stored.keys) == {"a.png", "b.png", "d.png", "e.png"}
    assert stored.ledger == {"c.png": failure("c.png", "gone bad")}
    assert stored.content_hash("a.png") == content_hash("b.png 2")
    assert stored.content_hash("e.png") == content_hash("a.png 1")
    assert stored.content_hash("lost.png") is None
    assert stored.content_hashes() == {
        content_hash(text) for text in ("a.png 1", "b.png 2", "d.png 2")
    }
    for source in sources.stores:
        source.close()


def test_nothing_stored_is_all_new(photos: Path, colors: dict[str, Color]) -> None:
    changes = compare_folder(find_images(photos), StoredImages([]))
    assert [item.key for item in changes.new] == NAMES
    assert changes.todo == changes.new
    assert (changes.changed, changes.unchanged, changes.vanished) == ((), 0, ())
    assert StoredImages([]).content_hashes() == set()
    assert StoredImages([]).file_sizes() == set()


def test_view_synchronises_like_one_file(
    photos: Path, store: Path, run: Run, colors: dict[str, Color], small_parts: None
) -> None:
    one = store.with_name("one.h5")
    write_color(photos / "sub" / "6.png", (66, 66, 66))
    for output, limit in [(store, 30), (one, None)]:
        run(output=output, single_file_limit=limit, batch_size=2)
    disturb(photos)
    reports = [run(output=output, batch_size=2) for output in (store, one)]
    assert counts(reports[0]) == counts(reports[1])
    assert all_rows(store) == all_rows(one)
    assert missing(store) == missing(one) == {"4.png"}
    with open_store(store) as view, open_store(one) as single:
        assert view.row_map is not None
        assert single.row_map is None
        assert view.contents == single.contents


def test_interrupted_synchronisation_goes_on_and_keeps_the_renamed(
    photos: Path,
    store: Path,
    run: Run,
    calls: list[int],
    colors: dict[str, Color],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run()
    (photos / "2.png").rename(photos / "a renamed.png")
    write_color(photos / "new.png", (250, 250, 250))
    with monkeypatch.context() as patch:

        def killed(*arguments: object, **options: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("featx.extraction.running.assemble_store", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    calls.clear()
    report = run()
    assert calls == []
    assert (report.rows, report.renamed, report.missing) == (7, 1, 0)
    assert set(means(store)) == {*NAMES, "a renamed.png", "new.png"} - {"2.png"}
