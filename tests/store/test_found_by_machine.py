"""What `tests/test_store_machine.py` has found, as short as Hypothesis could make it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featx.extraction import ExtractReport, extract
from featx.store import open_store
from tests.folder_model import PICTURES
from tests.store_samples import write_color

RED, GREEN, BLUE, _ = PICTURES


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "features.h5"


@pytest.fixture
def run(toy: str, photos: Path, store: Path) -> Callable[..., ExtractReport]:
    def run(**options: Any) -> ExtractReport:
        arguments = {"model": toy, "layers": ["mean"], "output": store} | options
        return extract(photos, **arguments)

    return run


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_identical_files_keep_their_place_however_the_work_was_divided(
    photos: Path, store: Path, run: Callable[..., ExtractReport], batch_size: int
) -> None:
    for key, color in {"a.png": RED, "b.png": RED, "c.png": GREEN, "d.png": BLUE}.items():
        write_color(photos / key, color)
    run(batch_size=batch_size)
    with open_store(store) as opened:
        assert opened.keys == ("a.png", "b.png", "c.png", "d.png")
