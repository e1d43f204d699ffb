"""Stores as data sets of PyTorch; skipped where it is not installed."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import featx
from featx.store import open_store
from tests.datasets.conftest import ROWS

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
pytestmark = [
    pytest.mark.usefixtures("small_chunks"),
    # DataLoader says that two processes on few cores may be slow.
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def rows_of(batches: Any) -> list[int]:
    return [int(row) for vectors, _ in batches for row in vectors[:, 0]]


@pytest.fixture
def known(numbered: Path) -> list[int]:
    """Rows that have a label."""
    return [row for row in range(ROWS) if row % 7]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_pass_of_a_loader_has_every_row_once_in_another_order(
    numbered: Path, known: list[int], workers: int
) -> None:
    data = featx.open_dataset(numbered, layers="v", target="label")
    options = {"batch_size": 16, "shuffle": True, "seed": 3}
    loader = data.to("torch", **options).loader(num_workers=workers)
    assert len(loader) == 6
    passes = [rows_of(loader) for _ in range(3)]
    assert all(sorted(rows) == known for rows in passes)
    assert len({tuple(rows) for rows in passes}) == 3
    again = data.to("torch", **options).loader(num_workers=workers)
    assert [rows_of(again) for _ in range(3)] == passes


def test_workers_that_stay_are_told_the_pass(numbered: Path, known: list[int]) -> None:
    data = featx.open_dataset(numbered, layers="v", target="label")
    batches = data.to("torch", batch_size=16, shuffle=True)
    loader = batches.loader(num_workers=1, persistent_workers=True)
    passes = [rows_of(loader) for _ in range(3)]
    assert len({tuple(rows) for rows in passes}) == 3
    assert [sorted(rows) for rows in passes] == [known] * 3


def test_workers_without_shuffling_keep_the_order(numbered: Path, known: list[int]) -> None:
    data = featx.open_dataset(numbered, layers="v", target="label")
    assert rows_of(data.to("torch", batch_size=10).loader(num_workers=2)) == known


def test_ranks_share_the_rows(numbered: Path, known: list[int]) -> None:
    data = featx.open_dataset(numbered, layers="v", target="label")
    given: Counter[int] = Counter()
    for rank in (1, 2):
        batches = data.to("torch", batch_size=8, shuffle=True, shard=(rank, 2))
        given.update(rows_of(batches))
    assert given == Counter(known)


def test_rows_are_a_dataset_that_samplers_take(numbered: Path, known: list[int]) -> None:
    rows = featx.open_dataset(numbered, layers="v", target="label").to("torch-rows")
    assert isinstance(rows, torch.utils.data.Dataset)
    loader = torch.utils.data.DataLoader(rows, batch_size=16, shuffle=True, num_workers=2)
    assert sorted(rows_of(loader)) == known
    given: Counter[int] = Counter()
    for rank in range(2):
        sampler = torch.utils.data.DistributedSampler(rows, num_replicas=2, rank=rank)
        given.update(rows_of(torch.utils.data.DataLoader(rows, batch_size=4, sampler=sampler)))
    assert set(given) == set(known)


def test_the_data_set_itself_is_taken_by_a_loader(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers=["v", "maps"], columns=["key", "label"], pool="none")
    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=5)))
    assert (batch["v"].dtype, batch["maps"].shape) == (torch.float32, (5, 2, 2, 3))
    assert batch["label"].tolist() == [-1, 1, 0, 1, 0]


def test_tensors_have_the_values_of_the_store(numbered: Path) -> None:
    columns = ["key", "size"]
    (batch,) = featx.open_dataset(numbered, columns=columns).to("torch", batch_size=ROWS)
    with open_store(numbered) as store:
        assert np.array_equal(batch["v"].numpy(), store.to_numpy("v"))
        assert tuple(batch["key"]) == store.keys
    assert (batch["v"].dtype, batch["size"].dtype) == (torch.float32, torch.float64)


def test_it_is_pickled(numbered: Path) -> None:
    made = featx.open_dataset(numbered, layers="v", target="label").to("torch", batch_size=50)
    assert rows_of(pickle.loads(pickle.dumps(made))) == rows_of(made)
