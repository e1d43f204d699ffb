"""Indexes on a full disk, and after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featx.extraction import extract
from featx.index.building import build_index
from featx.index.container import Section, Writer
from featx.index.files import description_path
from featx.index.searching import search
from featx.testing import write_images
from tests.index_files import write_version2

FULL = Path("/dev/full")


needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


@needs_full
def test_an_index_that_finds_the_disk_full_at_the_end_is_an_error(tmp_path: Path) -> None:
    def write() -> None:
        with FULL.open("r+b") as file:
            writer = Writer(file, FULL)
            writer.add(Section.of("vectors", np.ones((4, 3), np.float32)))
            writer.finish({})

    with pytest.raises(OSError, match="No space left on device"):
        write()


@pytest.mark.parametrize("version", [2, 3])
def test_a_search_goes_on_where_an_index_was_half_replaced(
    toy: str, photos: Path, tmp_path: Path, version: int
) -> None:
    store, index = tmp_path / "features.h5", tmp_path / "features.faiss"
    extract(write_images(3, photos), model=toy, layers=["mean"], output=store)
    write_version2(store)
    old = description_path(index).read_bytes()
    extract(write_images(4, photos), model=toy, layers=["mean"], output=store)
    if version == 2:
        write_version2(store)
    else:
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
