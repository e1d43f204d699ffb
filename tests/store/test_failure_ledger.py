"""The failure ledger: what is kept in it, and what it costs no row."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from featx.extraction import extract
from featx.extraction.report import ExtractReport
from featx.images.sources import ImageFailure
from featx.store import merge_stores, open_store
from featx.testing import write_images
from tests.store_samples import means, write_color, write_sample

Run = Callable[..., ExtractReport]


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
