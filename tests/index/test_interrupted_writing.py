"""Indexes on a full disk, and after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featx.extraction import extract
from featx.index.building import build_index
from featx.index.kinds import INDEXES
from featx.index.searching import search
from featx.index.vector_index import description_path
from featx.testing import write_images

FULL = Path("/dev/full")


needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


@needs_full
def test_an_index_that_finds_the_disk_full_at_the_end_is_an_error() -> None:
    # FAISS's own writer prints "close error" and returns as if the file were whole.
    index = INDEXES["flat"].build([np.ones((4, 3), np.float32)], (4, 3))
    with pytest.raises(OSError, match="No space left on device"):
        index.write(FULL)


def test_a_search_goes_on_where_an_index_was_half_replaced(
    toy: str, photos: Path, tmp_path: Path
) -> None:
    store, index = tmp_path / "features.h5", tmp_path / "features.faiss"
    extract(write_images(3, photos), model=toy, layers=["mean"], output=store)
    build_index(store)
    old = description_path(index).read_bytes()
    extract(write_images(4, photos), model=toy, layers=["mean"], output=store)
    build_index(store)
    description_path(index).write_bytes(old)  # As if it were killed between its two files.
    assert search(keys=["image_0.png"], features=store).index_size == 4


def test_building_again_removes_what_a_killed_one_left(
    toy: str, photos: Path, tmp_path: Path
) -> None:
    store, half = tmp_path / "features.h5", tmp_path / f"features.faiss.{2**22 + 1}.tmp"
    extract(write_images(3, photos), model=toy, layers=["mean"], output=store)
    half.write_bytes(b"half")
    build_index(store)
    assert not half.exists()
