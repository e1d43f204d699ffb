"""A store of numbered rows, in chunks of which it has many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featx.store.columns import plan_columns
from featx.store.rows import Announced, StoreFacts
from featx.store.writing import write_store
from tests.store_samples import make_header, make_rows

ROWS = 100
"""Every seventh has no label."""


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose layer ``v``, (2,), holds the number of the row; also maps, splits, columns."""
    path = tmp_path_factory.mktemp("datasets") / "numbered.h5"
    numbers = np.arange(ROWS, dtype=np.float32)
    features = {
        "maps": np.tile(numbers[:, None, None, None], (1, 2, 2, 3)),
        "v": np.stack([numbers, -numbers], axis=1),
    }
    labels = [None if row % 7 == 0 else ("cat", "dog")[row % 2] for row in range(ROWS)]
    rows = make_rows(features, labels=labels)
    sizes = np.array([None if row % 10 == 0 else row for row in range(ROWS)], object)
    object.__setattr__(rows, "columns", {"size": sizes, "price": numbers.astype(float) / 2})
    object.__setattr__(rows, "splits", ["test" if row >= 80 else "train" for row in range(ROWS)])
    announced = Announced(ROWS, 16, {"cat", "dog"}, {"train", "test"}, plan_columns([rows.columns]))
    header = make_header({name: values.shape[1:] for name, values in features.items()})
    write_store(path, header, [rows], announced, StoreFacts())
    return path


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows of ``v`` are read at a time."""
    monkeypatch.setattr("featx.datasets.reading.CHUNK_BYTES", 7 * 8)
    monkeypatch.setattr("featx.datasets.reading.SEQUENTIAL_BYTES", 7 * 8)
