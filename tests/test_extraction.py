"""`extract`: the numbers, what is computed again and what is not, failures, interruptions."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featx
import featx.testing.toy
from featx.errors import (
    AllImagesFailed,
    FingerprintMismatch,
    ImagesNotFound,
    InvalidType,
    InvalidValue,
    StoreDamaged,
    StoreError,
    StoreLocked,
    StoreNotFound,
    TooManyFailures,
    UnknownName,
)
from featx.events import Listener
from featx.extraction import extract
from featx.extraction.report import ExtractReport
from featx.features.batch_queue import BATCHES_AHEAD, ComputedBatch
from featx.features.computing import compute_features, plan_features
from featx.images.reading import DecodedImage
from featx.images.sources import ImageFailure, ImageItem
from featx.models import load_model
from featx.store import open_store
from featx.store.lock import lock_for_writing
from featx.store.parts import list_parts, parts_folder
from featx.testing import ToyBackbone
from tests.folder_model import break_image, counts
from tests.store_samples import Color, all_rows, mean_of, means, write_color, write_sample

COLORS: list[Color] = [(10 * n, 255 - 10 * n, n) for n in range(9)]


def fill(folder: Path, colors: Sequence[Color] = COLORS) -> list[str]:
    """Write pictures 0.png, 1.png, ... and return their keys."""
    for number, color in enumerate(colors):
        write_color(folder / f"{number}.png", color, mtime=1000 + number)
    return [f"{number}.png" for number in range(len(colors))]


def forbid_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: object) -> None:
        pytest.fail("the model was loaded")

    monkeypatch.setattr(featx.testing.toy, "load", load)


# The numbers


def test_several_layers_in_one_pass_by_hand(
    photos: Path, store: Path, run: Callable[..., ExtractReport], calls: list[int]
) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :4] = (255, 0, 51)
    pixels[:4, 4:] = (0, 255, 0)
    pixels[4:, 4:] = (51, 51, 51)
    Image.fromarray(pixels).save(photos / "quarters.png")
    report = run(layers=["head/double", "map", "mean"])
    assert counts(report) == {"rows": 1, "done": 1}
    assert calls == [1]
    with open_store(store) as opened:
        assert opened.layers == ("map", "mean", "head/double")  # The network's order.
        assert opened.features("map")[0] == pytest.approx(
            np.array([[[1, 0, 0.2], [0, 1, 0]], [[0, 0, 0], [0.2, 0.2, 0.2]]])
        )
        assert opened.features("mean")[0] == pytest.approx([0.3, 0.3, 0.1])
        assert opened.features("head/double")[0] == pytest.approx([0.6, 0.6, 0.2])


@pytest.mark.parametrize(
    ("pool", "value", "shape"),
    [
        ("none", None, (2, 2, 3)),
        ("avg", [0.25, 0.5, 0.05], (3,)),
        ("max", [1, 1, 0.2], (3,)),
        ("flatten", [1, 0, 0.2, 0, 1, 0, 0, 1, 0, 0, 0, 0], (12,)),
    ],
)
def test_pooling(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    pool: str,
    value: list[float] | None,
    shape: tuple[int, ...],
) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :4], pixels[:4, 4:], pixels[4:, :4] = (255, 0, 51), (0, 255, 0), (0, 255, 0)
    Image.fromarray(pixels).save(photos / "a.png")
    run(layers=["map", "mean"], pool=pool)
    with open_store(store) as opened:
        assert opened.spec("map").shape == shape
        assert opened.spec("map").pool == pool
        assert opened.spec("mean").pool == "none"  # A vector is not pooled.
        if value is not None:
            assert opened.features("map")[0] == pytest.approx(value)


def test_rows_stay_aligned_when_the_middle_image_is_bad(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    break_image(photos / "4.png", b"")
    report = run(batch_size=3)
    assert counts(report) == {"rows": 8, "done": 8, "failed": 1}
    assert means(store) == {
        f"{number}.png": pytest.approx(mean_of(color))
        for number, color in enumerate(COLORS)
        if number != 4
    }
    with open_store(store) as opened:
        assert [(f.key, f.reason, f.size) for f in opened.failures] == [
            ("4.png", "the file is empty (0 bytes)", 0)
        ]


@pytest.mark.parametrize(("batch_size", "sizes"), [(1, [1] * 9), (7, [7, 2]), (64, [9])])
def test_batch_size_changes_no_row(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
    batch_size: int,
    sizes: list[int],
) -> None:
    keys = fill(photos)
    run(batch_size=batch_size, layers=["*"])
    assert calls == sizes
    rows = all_rows(store)
    run(batch_size=4, layers=["*"], output=store.with_name("other.h5"), workers=1)
    assert all_rows(store.with_name("other.h5")) == rows
    assert [row[0] for row in rows[:-1]] == keys


def test_float16_values(photos: Path, store: Path, run: Callable[..., ExtractReport]) -> None:
    fill(photos)
    run(dtype="float16")
    with open_store(store) as opened:
        stored = opened.features("mean")
        assert stored.dtype == np.float16
        expected = np.array([mean_of(color) for color in COLORS], np.float32).astype(np.float16)
        np.testing.assert_array_equal(stored[:], expected)
        assert opened.table("mean").values.dtype == np.float32


def test_labels_keys_and_root(photos: Path, store: Path, run: Callable[..., ExtractReport]) -> None:
    for key in ("cat/10.png", "cat/2.png", "dog/deep/1.png", "0.png"):
        write_color(photos / key, (1, 2, 3))
    run()
    with open_store(store) as opened:
        assert opened.keys == ("0.png", "cat/2.png", "cat/10.png", "dog/deep/1.png")
        assert opened.labels == (None, "cat", "cat", "dog")
        assert opened.root.path == photos
        assert opened.header.root_relative == "photos"


def test_report_and_provenance(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    report = run()
    assert report.output == str(store)
    assert set(report.seconds) == {"load", "read", "compute", "write"}
    assert all(seconds >= 0 for seconds in report.seconds.values())
    assert report.images_per_second > 0
    assert json.loads(json.dumps(report.to_dict()))["done"] == 9
    with open_store(store) as opened:
        (made,) = opened.header.runs
        assert made["featx"] == featx.__version__
        assert made["computed"] == 9


def test_listener_hears_everything(photos: Path, run: Callable[..., ExtractReport]) -> None:
    @dataclass
    class Heard(Listener):
        notes: list[str] = field(default_factory=list)
        events: list[tuple[object, ...]] = field(default_factory=list)

        def note(self, text: str) -> None:
            self.notes.append(text)

        def start(self, total: int, what: str) -> None:
            self.events.append(("start", total, what))

        def advance(self, count: int) -> None:
            self.events.append(("advance", count))

        def failure(self, path: str, reason: str) -> None:
            self.events.append(("failure", path, reason))

        def finish(self) -> None:
            self.events.append(("finish",))

    fill(photos, COLORS[:5])
    break_image(photos / "1.png")
    heard = Heard()
    run(batch_size=2, listener=heard)
    assert heard.events == [
        ("start", 5, "images"),
        ("failure", "1.png", "not an image in a format that featx reads"),
        ("advance", 1),
        ("advance", 2),
        ("advance", 2),
        ("finish",),
    ]
    assert heard.notes[0] == f"5 images in {str(photos)!r}"
    assert "mean 3" in heard.notes[1]
    assert "5 images to read: 12 B each" in heard.notes[2]


# Running again


def test_same_command_again_does_nothing(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    break_image(photos / "3.png")
    run()
    before = (store.read_bytes(), store.stat().st_mtime_ns)
    forbid_loading(monkeypatch)
    assert counts(run()) == {"rows": 8, "skipped": 8, "failed": 1}
    assert (store.read_bytes(), store.stat().st_mtime_ns) == before
    assert sorted(path.name for path in store.parent.iterdir()) == ["features.h5", "photos"]


def test_same_layers_in_other_words_do_nothing_either(
    photos: Path, store: Path, run: Callable[..., ExtractReport], calls: list[int]
) -> None:
    fill(photos)
    run(layers=["mean", "map"])
    before = store.read_bytes()
    calls.clear()
    assert counts(run(layers=["ma*", "1"])) == {"rows": 9, "skipped": 9}
    assert calls == []
    assert store.read_bytes() == before


def test_only_new_and_changed_images_are_computed(
    photos: Path, store: Path, run: Callable[..., ExtractReport], calls: list[int]
) -> None:
    keys = fill(photos)
    run()
    calls.clear()
    write_color(photos / "new.png", (9, 9, 9))
    write_color(photos / "2.png", (200, 1, 1), mtime=5000)
    assert counts(run()) == {"rows": 10, "done": 2, "skipped": 8}
    assert calls == [2]
    rows = means(store)
    assert list(rows) == [*keys, "new.png"]  # A changed image keeps its place.
    assert rows["2.png"] == pytest.approx(mean_of((200, 1, 1)))
    assert rows["3.png"] == pytest.approx(mean_of(COLORS[3]))


def test_touched_image_is_not_computed_again(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    run()
    calls.clear()
    os.utime(photos / "2.png", (7777, 7777))
    assert counts(run()) == {"rows": 9, "skipped": 9}
    assert calls == []
    with open_store(store) as opened:
        times = dict(zip(opened.keys, opened.file_mtime_ns.tolist(), strict=True))
    assert times["2.png"] == 7777 * 10**9
    forbid_loading(monkeypatch)  # The new time is remembered.
    assert counts(run()) == {"rows": 9, "skipped": 9}


def test_vanished_images_stay_until_pruned(
    photos: Path, store: Path, run: Callable[..., ExtractReport], calls: list[int]
) -> None:
    fill(photos)
    run()
    calls.clear()
    (photos / "0.png").unlink()
    (photos / "5.png").unlink()
    assert counts(run()) == {"rows": 9, "skipped": 7, "missing": 2}
    assert counts(run(prune=True)) == {"rows": 7, "skipped": 7, "removed": 2}
    assert list(means(store)) == ["1.png", "2.png", "3.png", "4.png", "6.png", "7.png", "8.png"]
    assert counts(run(prune=True)) == {"rows": 7, "skipped": 7}
    assert calls == []


def test_images_in_a_folder_that_cannot_be_listed_are_not_pruned(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in ("cat/1.png", "cat/2.png", "category/3.png", "dog/4.png"):
        write_color(photos / key, (1, 2, 3))
    run()
    (photos / "category" / "3.png").unlink()
    real = os.scandir

    def scandir(folder: Path) -> Any:
        if Path(folder).name == "cat":
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        assert counts(run(prune=True)) == {"rows": 3, "skipped": 1, "removed": 1, "failed": 1}
        with open_store(store) as opened:
            assert opened.keys == ("cat/1.png", "cat/2.png", "dog/4.png")
            assert [(f.key, f.reason) for f in opened.failures] == [("cat", "Permission denied")]
    assert counts(run(prune=True)) == {"rows": 3, "skipped": 3}
    with open_store(store) as opened:
        assert opened.failures == ()


def test_failures_are_remembered_and_retried_when_the_file_changes(
    photos: Path, store: Path, run: Callable[..., ExtractReport], calls: list[int]
) -> None:
    fill(photos)
    break_image(photos / "4.png", mtime=2000)
    run()
    calls.clear()
    write_color(photos / "new.png", (1, 1, 1))
    assert counts(run()) == {"rows": 9, "done": 1, "skipped": 8, "failed": 1}
    write_color(photos / "4.png", (8, 8, 8), mtime=2001)
    assert counts(run()) == {"rows": 10, "done": 1, "skipped": 9}
    assert means(store)["4.png"] == pytest.approx(mean_of((8, 8, 8)))
    with open_store(store) as opened:
        assert opened.failures == ()
    break_image(photos / "4.png", mtime=2002)
    assert counts(run()) == {"rows": 9, "skipped": 9, "failed": 1}
    assert "4.png" not in means(store)
    (photos / "4.png").unlink()
    assert counts(run()) == {"rows": 9, "skipped": 9}
    with open_store(store) as opened:
        assert opened.failures == ()


def test_store_of_failures_only(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    break_image(photos / "a.png")
    break_image(photos / "b.png")
    with pytest.raises(AllImagesFailed, match=r"2 images failed. The first one: a\.png: ") as first:
        run()
    assert counts(first.value.report) == {"failed": 2}
    with open_store(store) as opened:
        assert opened.keys == ()
        assert opened.table().values.shape == (0, 3)
        assert opened.failures == first.value.report.failures
    assert counts(run(dry_run=True)) == {"failed": 2}
    with monkeypatch.context() as patch:
        forbid_loading(patch)
        with pytest.raises(AllImagesFailed) as second:
            run()
    assert second.value.report.failures == first.value.report.failures
    (photos / "b.png").unlink()
    write_color(photos / "b.png", (3, 3, 3))
    assert counts(run()) == {"rows": 1, "done": 1, "failed": 1}


def test_moved_store_and_images_go_on_together(
    tmp_path: Path,
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
) -> None:
    fill(photos)
    run()
    calls.clear()
    new = tmp_path / "elsewhere"
    new.mkdir()
    photos.rename(new / "photos")
    store.rename(new / "features.h5")
    write_color(new / "photos" / "new.png", (1, 1, 1))
    report = run(images=new / "photos", output=new / "features.h5")
    assert counts(report) == {"rows": 10, "done": 1, "skipped": 9}
    with open_store(new / "features.h5") as opened:
        assert str(opened.header.root) == str(new / "photos")


def test_overwrite_starts_afresh(
    photos: Path, store: Path, run: Callable[..., ExtractReport], calls: list[int]
) -> None:
    fill(photos)
    run()
    (photos / "0.png").unlink()
    calls.clear()
    assert counts(run(overwrite=True, layers=["map"])) == {"rows": 8, "done": 8}
    assert calls == [8]
    with open_store(store) as opened:
        assert opened.layers == ("map",)
        assert opened.failures == ()


def test_overwrite_keeps_the_old_store_until_the_new_one_is_complete(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_until: Callable[..., None],
) -> None:
    fill(photos)
    run()
    before = all_rows(store)
    run_until(2, overwrite=True, batch_size=3)
    assert all_rows(store) == before


@pytest.mark.parametrize("content", [b"my notes", b"\x89HDF\r\n\x1a\n and then nothing"])
def test_overwrite_leaves_what_is_not_a_store_alone(
    photos: Path, store: Path, run: Callable[..., ExtractReport], content: bytes
) -> None:
    fill(photos)
    store.write_bytes(content)
    with pytest.raises(StoreDamaged):
        run()
    with pytest.raises(StoreError, match="not a feature store; it is left alone"):
        run(overwrite=True)
    assert store.read_bytes() == content


def test_an_interrupted_overwrite_goes_on_with_and_without_the_option(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    run(layers=["map"], batch_size=2)
    for options in ({"overwrite": True}, {}):
        with monkeypatch.context() as patch:
            count = itertools.count()

            def interrupt(values: np.ndarray, count: Iterator[int] = count) -> np.ndarray:
                if next(count) == 2:
                    raise KeyboardInterrupt
                return values

            patch_output(patch, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(overwrite=True, batch_size=2)
        with open_store(store) as opened:
            assert opened.layers == ("map",), "the old store stays until the new one is complete"
        report = run(batch_size=2, **options)
        assert (report.done, report.skipped, report.rows) == (5, 4, 9)
        run(layers=["map"], batch_size=2, overwrite=True)


def test_one_image_of_the_folder_prunes_nothing(
    photos: Path, store: Path, run: Callable[..., ExtractReport], toy: str
) -> None:
    fill(photos)
    run()
    report = extract(photos / "4.png", model=toy, layers=["mean"], output=store, prune=True)
    assert (report.rows, report.removed, report.missing, report.skipped) == (9, 0, 0, 1)


def test_a_link_whose_target_is_away_keeps_its_features(
    photos: Path, store: Path, run: Callable[..., ExtractReport], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    fill(disk)
    (photos / "link.png").symlink_to(disk / "4.png")
    run()
    disk.rename(tmp_path / "away")
    with pytest.raises(
        AllImagesFailed, match=r"1 image failed. The first one: link\.png"
    ) as raised:
        run(prune=True)
    assert counts(raised.value.report) == {"rows": 1, "failed": 1}
    (tmp_path / "away").rename(disk)
    assert counts(run()) == {"rows": 1, "skipped": 1}


def test_a_read_error_is_tried_again_next_time(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    real = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == "4.png":
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        report = run()
    assert counts(report) == {"rows": 8, "done": 8, "failed": 1}
    assert report.to_dict()["failures"] == [{"key": "4.png", "reason": "Input/output error"}]
    assert counts(run()) == {"rows": 9, "done": 1, "skipped": 8}


def test_unfinished_parts_of_another_folder_are_refused(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    toy: str,
    small_parts: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    with monkeypatch.context() as patch:
        patch.setattr("featx.extraction.running.assemble_store", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
    fill(tmp_path / "other")
    with pytest.raises(FingerprintMismatch, match="images of another folder"):
        extract(tmp_path / "other", model=toy, layers=["mean"], output=store)
    assert counts(run()) == {"rows": 9, "skipped": 9}


def interrupted(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt


def test_more_parts_than_open_files(photos: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    fill(photos, [(i, 0, 0) for i in range(70)])
    code = (
        "import resource, featx\nfrom featx.store.parts import PartWriter\n"
        "from featx.testing import toy_model\n"
        "PartWriter.__init__.__kwdefaults__['max_bytes'] = 1\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        f"report = featx.extract({str(photos)!r}, model=toy_model(), layers=['mean'], "
        f"batch_size=1, output={str(tmp_path / 'many.h5')!r})\nprint(report.rows)"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 64
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout == "70\n", result.stderr


def test_the_root_follows_moved_images(
    photos: Path, store: Path, run: Callable[..., ExtractReport], toy: str
) -> None:
    fill(photos)
    run()
    moved = photos.rename(photos.with_name("moved"))
    report = extract(moved, model=toy, layers=["mean"], output=store)
    assert (report.done, report.skipped) == (0, 9)
    with open_store(store) as opened:
        assert opened.root.path == moved


def test_a_link_to_the_folder_is_the_folder(
    photos: Path, store: Path, run: Callable[..., ExtractReport], toy: str
) -> None:
    fill(photos)
    run()
    link = photos.with_name("link")
    link.symlink_to(photos)
    assert extract(link, model=toy, layers=["mean"], output=store).skipped == 9


def test_a_store_behind_a_link_is_replaced_there(
    photos: Path, store: Path, run: Callable[..., ExtractReport], toy: str, tmp_path: Path
) -> None:
    fill(photos)
    run()
    link = tmp_path / "link.h5"
    link.symlink_to(store)
    write_color(photos / "new.png", (3, 3, 3))
    assert extract(photos, model=toy, layers=["mean"], output=link).rows == 10
    assert link.is_symlink()
    with open_store(store) as opened:
        assert len(opened) == 10


# What is refused


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"model": "toy:colors,weights=2"}, {"weights_sha256"}),
        ({"preprocess": "tf"}, {"input.scaling"}),
        ({"preprocess": "caffe"}, {"input.scaling", "input.channel_order"}),
        ({"channel_order": "bgr"}, {"input.channel_order"}),
        ({"img_size": (8, 16)}, {"input.width"}),
        ({"resize": "crop"}, {"input.resize"}),
        ({"interpolation": "nearest"}, {"input.interpolation"}),
        ({"exif": "ignore"}, {"input.exif"}),
        ({"layers": ["map", "mean"]}, {"layers"}),
        ({"pool": "max"}, {"pool of map", "shape of map"}),
        ({"dtype": "float16"}, {"dtype"}),
    ],
)
def test_other_features_into_the_same_store_are_refused(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
    options: dict[str, Any],
    fields: set[str],
) -> None:
    fill(photos)
    run(layers=["map"])
    before = store.read_bytes()
    calls.clear()
    with pytest.raises(FingerprintMismatch, match="made in another way") as caught:
        run(**({"layers": ["map"]} | options))
    assert {name for name, _, _ in caught.value.differences} == fields
    assert all(name in str(caught.value) for name in fields)
    assert "overwrite=True" in str(caught.value)
    assert calls == []
    assert store.read_bytes() == before


def test_mismatch_says_what_was_and_what_is(
    photos: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    run()
    with pytest.raises(FingerprintMismatch, match="input.scaling: expected unit, received tf"):
        run(preprocess="tf")


def test_unfinished_parts_of_another_command_are_refused(
    photos: Path,
    run: Callable[..., ExtractReport],
    small_parts: None,
    run_until: Callable[..., None],
) -> None:
    fill(photos)
    run_until(2, batch_size=3)
    with pytest.raises(FingerprintMismatch, match="unfinished work of another command"):
        run(preprocess="tf")
    assert counts(run(preprocess="tf", overwrite=True)) == {"rows": 9, "done": 9}


def test_other_folder_is_refused_while_the_old_one_exists(
    tmp_path: Path, photos: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    run()
    write_color(tmp_path / "other" / "0.png", (5, 5, 5))
    with pytest.raises(FingerprintMismatch, match="images of another folder") as caught:
        run(images=tmp_path / "other")
    assert caught.value.differences == (("folder", str(photos), str(tmp_path / "other")),)


def test_locked_store_is_refused(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    with lock_for_writing(parts_folder(store)), pytest.raises(StoreLocked):
        run()
    assert not store.exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": None, "weights": "w.h5"}, InvalidValue, "keras:MobileNetV2"),
        ({"batch_size": 0}, InvalidValue, "'batch_size' takes a whole number, at least 1"),
        ({"layers": 3.5}, InvalidType, "'layers' takes a name or a number, or several"),
        ({"layers": [None]}, InvalidType, "'layers' takes a name or a number, or several"),
        ({"layers": 99}, UnknownName, "layer"),
        ({"trust_model_code": "no"}, InvalidValue, "trust_model_code= takes a Python file"),
        ({"pool": "median"}, UnknownName, "pooling"),
        ({"dtype": "float64"}, UnknownName, "float32 or float16"),
        ({"preprocess": "caff"}, UnknownName, "caffe"),
        ({"layers": ["meen"]}, UnknownName, "mean"),
        ({"output": "no/such/folder/f.h5"}, StoreError, "there is no folder 'no/such/folder'"),
        ({"output": "."}, StoreError, "is a folder"),
        ({"images": "no-such-folder"}, ImagesNotFound, "no-such-folder"),
    ],
)
def test_wrong_arguments(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    fill(photos)
    with pytest.raises(error, match=message):
        run(**options)
    assert sorted(path.name for path in store.parent.iterdir()) == ["photos"]


def test_one_layer_as_a_text(photos: Path, run: Callable[..., ExtractReport]) -> None:
    fill(photos)
    assert run(layers="mean").done == run(layers=["mean"]).skipped > 0


def test_empty_folder(run: Callable[..., ExtractReport]) -> None:
    with pytest.raises(ImagesNotFound, match="There are no images in"):
        run()


def test_strict_stops_and_keeps_what_was_computed(
    photos: Path, run: Callable[..., ExtractReport], calls: list[int]
) -> None:
    fill(photos)
    break_image(photos / "4.png")
    with pytest.raises(TooManyFailures, match=r"1 image failed; the limit is 0.*4\.png"):
        run(strict=True, batch_size=1)
    computed = len(calls)
    assert 4 <= computed <= 4 + 1 + BATCHES_AHEAD  # The network runs ahead of what is looked at.
    with pytest.raises(TooManyFailures):  # It has not become better since.
        run(strict=True, batch_size=1)
    assert len(calls) == computed
    assert counts(run(batch_size=1)) == {"rows": 8, "done": 4, "skipped": 4, "failed": 1}
    assert len(calls) == computed + 4
    with pytest.raises(TooManyFailures):
        run(strict=True)
    (photos / "4.png").unlink()
    assert counts(run(strict=True)) == {"rows": 8, "skipped": 8}


def test_max_failures(photos: Path, run: Callable[..., ExtractReport]) -> None:
    fill(photos)
    for number in (2, 4, 6):
        break_image(photos / f"{number}.png")
    with pytest.raises(TooManyFailures, match=r"3 images failed; the limit is 2.*6\.png"):
        run(max_failures=2)
    assert counts(run(max_failures=3)) == {"rows": 6, "done": 6, "failed": 3}


def test_disk_that_is_too_small_is_noticed_before_the_work(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    needed = 2 * len(COLORS) * 12
    usage = type(shutil.disk_usage("/"))
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, needed - 1))
        with pytest.raises(StoreError, match="216 B of disk while it is made, and 215 B are free"):
            run()
        assert calls == []
        patch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, needed))
        assert counts(run()) == {"rows": 9, "done": 9}
        write_color(photos / "new.png", (1, 1, 1))
        needed = 2 * 12 + store.stat().st_size  # The old file stays until the new one is there.
        patch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9, needed - 1))
        with pytest.raises(StoreError, match="are free"):
            run()


def test_full_disk_keeps_what_was_committed(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    real, written = featx.store.parts.write_store, []

    def full_at_third(path: Path, *arguments: Any, **options: Any) -> None:
        if len(written) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr("featx.store.parts.write_store", full_at_third)
        with pytest.raises(StoreError, match="disk is full.*run the same command again"):
            run(batch_size=2)
    assert len(list_parts(parts_folder(store))) == 2
    calls.clear()
    assert counts(run(batch_size=2)) == {"rows": 9, "done": 5, "skipped": 4}
    assert list(means(store)) == [f"{number}.png" for number in range(9)]


# Strange outputs of the network


def patch_output(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    real = ToyBackbone.__call__

    def changed(self: Any, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
        return {name: change(values) for name, values in real(self, images, names).items()}

    monkeypatch.setattr(ToyBackbone, "__call__", changed)


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_nan_fails_that_image_alone(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    monkeypatch: pytest.MonkeyPatch,
    strange: float,
) -> None:
    fill(photos, [(10, 10, 10), (99, 10, 10), (20, 10, 10)])
    patch_output(monkeypatch, lambda values: np.where(values > 0.3, np.float32(strange), values))
    assert counts(run(layers=["map", "mean"])) == {"rows": 2, "done": 2, "failed": 1}
    assert means(store) == {
        "0.png": pytest.approx(mean_of((10, 10, 10))),
        "2.png": pytest.approx(mean_of((20, 10, 10))),
    }
    with open_store(store) as opened:
        (failure,) = opened.failures
        status = (photos / "1.png").stat()
        assert failure == ImageFailure(
            "1.png",
            "the model gives NaN or infinity at 'map'",
            status.st_size,
            status.st_mtime_ns,
        )


def test_float16_overflow_fails_that_image_alone(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos, [(255, 0, 0)])
    with monkeypatch.context() as patch:
        patch_output(patch, lambda values: values * np.float32(65504))
        run(dtype="float16", output=store.with_name("fits.h5"))
        with open_store(store.with_name("fits.h5")) as opened:
            assert opened.features("mean")[0].tolist() == [65504, 0, 0]
    patch_output(monkeypatch, lambda values: values * np.float32(-70000))
    write_color(photos / "small.png", (0, 0, 0))
    assert counts(run(dtype="float16")) == {"rows": 1, "done": 1, "failed": 1}
    with open_store(store) as opened:
        (failure,) = opened.failures
        assert failure.reason == "float16 cannot hold 70000 at 'mean': use dtype='float32'"


def test_batches_are_filled_across_failures(toy: str) -> None:
    backbone = load_model(toy)
    specs = plan_features(backbone, ["mean"], "none")
    images = [
        ImageFailure("bad", "broken", 0, 0)
        if number in (1, 4)
        else DecodedImage(
            ImageItem(str(number), "", None, 0, 0),
            bytes([number]) * 16,
            np.full((8, 8, 3), number, np.uint8),
        )
        for number in range(7)
    ]
    results = list(compute_features(images, backbone, specs, batch_size=2))
    assert [
        [item.key for item in result.items] if isinstance(result, ComputedBatch) else result.key
        for result in results
        if isinstance(result, (ComputedBatch, ImageFailure))
    ] == ["bad", ["0", "2"], "bad", ["3", "5"], ["6"]]
    batch = results[1]
    assert isinstance(batch, ComputedBatch)
    assert batch.content_hash[:, 0].tolist() == [0, 2]
    assert isinstance(backbone, ToyBackbone)
    assert backbone.calls == [2, 2, 1]


# Interruptions


@pytest.fixture
def run_until(
    run: Callable[..., ExtractReport], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Extract, and press Ctrl-C while the batch of a number (from 1) is computed."""

    def run_until(number: int, **options: Any) -> None:
        real, calls = ToyBackbone.__call__, []

        def call(self: Any, images: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
            calls.append(len(images))
            if len(calls) == number:
                raise KeyboardInterrupt
            return real(self, images, names)

        with monkeypatch.context() as patch:
            patch.setattr(ToyBackbone, "__call__", call)
            with pytest.raises(KeyboardInterrupt):
                run(**options)

    return run_until


def test_memory_is_bounded_by_parts(
    photos: Path,
    store: Path,
    small_parts: None,
    run_until: Callable[..., None],
) -> None:
    fill(photos)
    run_until(4, batch_size=2)
    sizes = []
    for path in list_parts(parts_folder(store)):
        with open_store(path) as part:
            sizes.append(len(part))
    assert sizes == [2, 2, 2]


@pytest.mark.parametrize("number", [1, 2, 4])
@pytest.mark.parametrize("small", [False, True])
def test_ctrl_c_and_again_gives_the_same_file(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_until: Callable[..., None],
    request: pytest.FixtureRequest,
    number: int,
    small: bool,
) -> None:
    if small:
        request.getfixturevalue("small_parts")
    fill(photos)
    break_image(photos / "3.png", mtime=50)
    run(batch_size=2, layers=["*"], output=store.with_name("whole.h5"))
    run_until(number, batch_size=2, layers=["*"])
    assert not store.exists()
    if number > 1:
        with pytest.raises(StoreNotFound, match="not finished"):
            open_store(store)
    report = run(batch_size=2, layers=["*"])
    assert (report.rows, report.failed) == (8, 1)
    assert (report.done, report.skipped) == (8 - 2 * (number - 1), 2 * (number - 1))
    assert all_rows(store) == all_rows(store.with_name("whole.h5"))
    assert not parts_folder(store).exists()


def test_ctrl_c_while_a_store_grows_leaves_the_store_readable(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    run_until: Callable[..., None],
) -> None:
    fill(photos, COLORS[:4])
    run()
    before = all_rows(store)
    fill(photos)
    run_until(3, batch_size=2)
    assert all_rows(store) == before
    assert counts(run(batch_size=2)) == {"rows": 9, "done": 1, "skipped": 8}
    assert list(means(store)) == [f"{number}.png" for number in range(9)]


def test_damaged_part_is_named_and_can_be_deleted(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    small_parts: None,
    run_until: Callable[..., None],
) -> None:
    fill(photos)
    run_until(4, batch_size=2)
    part = parts_folder(store) / "part-000001.h5"
    part.write_bytes(part.read_bytes()[:500])
    with pytest.raises(StoreDamaged, match=r"part-000001\.h5.*delete that one file"):
        run(batch_size=2)
    part.unlink()
    assert counts(run(batch_size=2)) == {"rows": 9, "done": 5, "skipped": 4}
    assert means(store) == {
        f"{number}.png": pytest.approx(mean_of(color)) for number, color in enumerate(COLORS)
    }


@pytest.mark.parametrize("removed", [0, 1, 3])
def test_kill_while_parts_are_removed_moves_no_row(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    calls: list[int],
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
    removed: int,
) -> None:
    def killed(folder: Path, *, keep: object, pending: object) -> None:
        for path in list_parts(folder)[:removed]:
            path.unlink()
        raise KeyboardInterrupt

    fill(photos)
    break_image(photos / "3.png", mtime=50)
    with monkeypatch.context() as patch:
        patch.setattr("featx.store.views.remove_leftovers", killed)
        with pytest.raises(KeyboardInterrupt):
            run(batch_size=2)
    before = all_rows(store)
    assert len(list_parts(parts_folder(store))) == 4 - removed
    calls.clear()
    assert counts(run(batch_size=2)) == {"rows": 8, "skipped": 8, "failed": 1}
    assert calls == []
    assert all_rows(store) == before
    assert not parts_folder(store).exists()


def test_leftover_of_a_killed_assembly_is_removed(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    store.with_name("features.h5.123.tmp").write_bytes(b"half")
    store.with_name("features.h5.notes.tmp").write_bytes(b"the user's own")
    run()
    assert sorted(path.name for path in store.parent.iterdir()) == [
        "features.h5",
        "features.h5.notes.tmp",
        "photos",
    ]


KILLED = textwrap.dedent(
    """
    # Runs `extract` in forked children, which are killed at random instants, until one ends by
    # itself; prints how many were killed. Forked: a child starts in a millisecond.
    import os, random, signal, sys, time
    from pathlib import Path
    import featx.store.parts as parts
    from featx.extraction import extract
    from featx.store import open_store
    from featx.testing import ToyBackbone, toy_model

    photos, store, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    model, random = toy_model(), random.Random(seed)
    import featx.store.assembly as assembly
    from featx.store.planning import PlannedRows
    parts.PartWriter.__init__.__kwdefaults__["max_bytes"] = 3 * 12
    assembly.BLOCK_BYTES = 2 * 12
    compute, read_rows = ToyBackbone.__call__, PlannedRows.blocks

    def slow_compute(*arguments):
        time.sleep(0.01)
        return compute(*arguments)

    def slow_read(*arguments, **options):
        for rows in read_rows(*arguments, **options):
            time.sleep(0.002)
            yield rows

    ToyBackbone.__call__, PlannedRows.blocks = slow_compute, slow_read

    def committed():
        keys, folder = set(), store.with_name(store.name + ".parts")
        for path in [*sorted(folder.glob("part-??????.h5")), *([store] if store.exists() else [])]:
            with open_store(path) as opened:
                keys.update(opened.keys)
                keys.update(failure.key for failure in opened.failures)
        return keys

    before, killed, longest = committed(), 0, 0.06
    while True:
        child = os.fork()
        if child == 0:
            extract(photos, model=model, layers=["mean"], output=store, batch_size=2, workers=1)
            os._exit(0)
        deadline = time.monotonic() + random.uniform(0.005, longest)
        ended = 0
        while not ended and time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.001)
        if not ended:
            os.kill(child, signal.SIGKILL)
            ended, status = os.waitpid(child, 0)
            killed += os.WIFSIGNALED(status)
        after = committed()
        assert before <= after, before - after
        before = after
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        longest *= 1.1  # However slow the machine, one gets through.
    print(killed)
    """
)


@pytest.mark.slow  # benchmarks/stress does the same and more; a short part of it is in the tests.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_sigkill_at_any_instant_loses_nothing(
    tmp_path: Path, photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    def run_killed(seed: int) -> int:
        result = subprocess.run(
            [sys.executable, "-c", KILLED, str(photos), str(store), str(seed)],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return int(result.stdout)

    whole = tmp_path / "whole.h5"
    fill(photos, [(n, 2 * n, 3 * n) for n in range(40)])
    break_image(photos / "33.png", mtime=77)
    run(output=whole)
    killed = run_killed(0)
    assert all_rows(store) == all_rows(whole)

    fill(photos, [(n, 2 * n, 100) for n in range(20)])  # Half of them changed,
    for number in range(20):
        os.utime(photos / f"{number}.png", (9000, 9000))
    write_color(photos / "33.png", (1, 1, 1), mtime=9000)  # one repaired,
    break_image(photos / "34.png", mtime=9000)  # one broken.
    run(output=whole)
    killed += run_killed(1)
    assert all_rows(store) == all_rows(whole)
    assert killed >= 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "features.h5",
        "photos",
        "whole.h5",
    ]


# Stores and folders that are not what they were


def test_store_from_elsewhere_is_no_obstacle(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    write_sample(store, {"mean": np.zeros((1, 3), np.float32)}, root=photos)
    with pytest.raises(FingerprintMismatch, match="model: expected file, received toy"):
        run()


def test_a_mistyped_overwrite_changes_nothing(
    photos: Path, store: Path, run: Callable[..., ExtractReport]
) -> None:
    fill(photos)
    run()
    with pytest.raises(UnknownName):
        run(layers=["nosuch"], overwrite=True)
    assert not parts_folder(store).exists()
    (photos / "4.png").unlink()
    report = run()
    assert (report.rows, report.skipped, report.missing) == (9, 8, 1)


def test_a_mistyped_overwrite_keeps_the_parts_of_an_interrupted_run(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    with monkeypatch.context() as patch:
        patch.setattr("featx.extraction.running.assemble_store", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
    with pytest.raises(UnknownName):
        run(layers=["nosuch"], overwrite=True)
    assert counts(run()) == {"rows": 9, "skipped": 9}


def test_overwrite_goes_on_to_another_folder(
    photos: Path,
    store: Path,
    run: Callable[..., ExtractReport],
    toy: str,
    small_parts: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(photos)
    run()
    with monkeypatch.context() as patch:
        patch.setattr("featx.extraction.running.assemble_store", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(overwrite=True)
    fill(tmp_path / "other", [(1, 2, 3)])
    report = extract(tmp_path / "other", model=toy, layers=["mean"], output=store, overwrite=True)
    assert (report.rows, report.done) == (1, 1)
