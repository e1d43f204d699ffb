"""What is refused before any work: rows that are too large, the images of another folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from featx.errors import StoreError
from featx.extraction import extract
from featx.extraction.report import ExtractReport
from featx.testing import write_images
from tests.store_samples import write_color


def test_a_row_that_hdf5_cannot_hold_is_refused_before_the_work(photos: Path, store: Path) -> None:
    from featx.testing.wide import register_wide_model

    write_images(1, photos)
    with pytest.raises(StoreError, match=r"A row of 'wide' has 8\.0 GB"):
        extract(photos, model=register_wide_model(2 * 10**9), layers=["wide"], output=store)


Run = Callable[..., ExtractReport]


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
