"""Stores as data sets: which rows come, in which order, and with what beside them."""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import featx
from featx.datasets.options import BatchOptions
from featx.datasets.reading import iter_batches
from featx.errors import (
    InvalidType,
    InvalidValue,
    StoreDamaged,
    StoreError,
    UnknownName,
    UnknownOption,
)
from featx.store.dataset_rows import DatasetRows
from tests.datasets.conftest import ROWS
from tests.store_samples import write_sample, write_view

pytestmark = pytest.mark.usefixtures("small_chunks")


def numbers_of(batches: Any) -> list[int]:
    """Return the number that stands in each row."""
    return [int(number) for batch in batches for number in batch["v"][:, 0]]


def pass_over(data: featx.FeatureDataset, workers: int = 1, epoch: int = 0, **options: Any) -> Any:
    """Return the numbers of the rows that each worker gives, in batches."""
    chosen = BatchOptions(**options)
    return [
        [b.layers["v"][:, 0].astype(int).tolist() for b in iter_batches(data, chosen, epoch, each)]
        for each in ((worker, workers) for worker in range(workers))
    ]


def flat(workers: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    return [row for batches in workers for batch in batches for row in batch]


def test_rows_come_in_order_in_batches(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers="v")
    sizes = [len(batch["v"]) for batch in data.batches(batch_size=30)]
    assert sizes == [30, 30, 30, 10]
    assert numbers_of(data.batches(batch_size=30)) == list(range(ROWS))
    assert [len(b["v"]) for b in data.batches(batch_size=30, drop_last=True)] == [30, 30, 30]


SHUFFLED = list(itertools.product((1, 20, 1000), (3, 33, 500), (1, 3), (1, 5)))
QUICK = [SHUFFLED[number] for number in (0, 7, 9, 15, 16, 22, 25, 30, 35)]
"""Each pair of two values; the others repeat them."""


@pytest.mark.parametrize(
    ("buffer_rows", "batch_size", "count", "workers"),
    [pytest.param(*one, marks=() if one in QUICK else pytest.mark.slow) for one in SHUFFLED],
)
def test_shuffled_every_row_comes_once(
    numbered: Path, buffer_rows: int, batch_size: int, count: int, workers: int
) -> None:
    data = featx.open_dataset(numbered, layers="v")
    options = {"shuffle": True, "batch_size": batch_size, "buffer_rows": buffer_rows}
    rows: list[int] = []
    for number in range(1, count + 1):
        given = pass_over(data, workers, shard=(number, count), **options)
        sizes = sorted(len(batch) for batches in given for batch in batches)
        own = sum(sizes)
        assert own in (ROWS // count, -(-ROWS // count))
        # Full batches but for one, as many as without workers.
        assert len(sizes) == -(-own // batch_size)
        assert all(size == batch_size for size in sizes[1:])
        rows += flat(given)
    assert sorted(rows) == list(range(ROWS))


def test_each_pass_and_each_seed_has_its_order(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers="v")
    first = flat(pass_over(data, shuffle=True))
    assert flat(pass_over(data, shuffle=True)) == first
    others = [flat(pass_over(data, shuffle=True, **one)) for one in ({"epoch": 1}, {"seed": 1})]
    assert first not in others
    assert others[0] != others[1]
    assert first != list(range(ROWS))


def test_chunks_and_rows_are_both_mixed(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers="v")
    rows = flat(pass_over(data, shuffle=True, buffer_rows=21))
    # Three chunks of seven rows are mixed in each buffer, wherever they are in the store.
    for start in range(0, 84, 21):
        buffer = rows[start : start + 21]
        assert buffer != sorted(buffer)
    chunks = [row // 7 for row in rows]
    assert chunks[:21] != sorted(chunks[:21])
    assert sorted(set(chunks[:21])) != [0, 1, 2]


def test_a_chunk_is_read_once_in_a_pass(numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    real = DatasetRows.read

    def spy(layer: DatasetRows, rows: np.ndarray, out: np.ndarray | None = None) -> Any:
        if len(rows):
            assert out is not None
            assert rows.tolist() == list(range(rows[0], rows[-1] + 1))
            assert rows[0] // 7 == rows[-1] // 7
            read.append(int(rows[0]) // 7)
        return real(layer, rows, out)

    def read_otherwise(dataset: Any, *rest: Any, **more: Any) -> Any:
        assert dataset.name != "/features/f001"
        return otherwise(dataset, *rest, **more)

    otherwise = h5py.Dataset.__getitem__
    monkeypatch.setattr(DatasetRows, "read", spy)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", read_otherwise)
    data = featx.open_dataset(numbered, layers="v")
    for shuffle in (False, True):
        read.clear()
        assert len(flat(pass_over(data, shuffle=shuffle, batch_size=5))) == ROWS
        assert sorted(read) == list(range(15))


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_damaged_chunk_ends_a_pass(tmp_path: Path, shuffle: bool) -> None:
    path = tmp_path / "f.h5"
    write_sample(path, {"v": np.ones((40, 4), np.float32)})
    with h5py.File(path, locking=False) as file:
        begin = file["features/f000"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[begin + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match="rows of 'v' cannot be read"):
        list(featx.open_dataset(path).batches(shuffle=shuffle))


@pytest.mark.parametrize("shuffle", [False, True])
def test_float16_beside_maps_that_are_pooled(tmp_path: Path, shuffle: bool) -> None:
    layers = {"maps": np.ones((40, 2, 2, 3), np.float16), "v": np.ones((40, 4), np.float16)}
    write_sample(tmp_path / "f.h5", layers, dtype="float16")
    data = featx.open_dataset(tmp_path / "f.h5", layers=["maps", "v"])
    for batch in data.batches(batch_size=16, shuffle=shuffle):
        for name, size in (("maps", 3), ("v", 4)):
            expected = np.ones((len(batch[name]), size), np.float32)
            np.testing.assert_array_equal(batch[name], expected, strict=True)


@pytest.mark.parametrize("shuffle", [False, True])
def test_memory_is_used_again_and_never_while_somebody_has_it(
    tmp_path: Path, shuffle: bool
) -> None:
    values = np.arange(400, dtype=np.float32)[:, None] * np.ones(16, np.float32)
    write_sample(tmp_path / "f.h5", {"v": values})
    data = featx.open_dataset(tmp_path / "f.h5", columns=())
    options: Any = {"batch_size": 6, "shuffle": shuffle, "buffer_rows": 40}
    blocks: set[int] = set()
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for number, batch in enumerate(data.batches(**options)):
        assert batch["v"].ctypes.data % 64 == 0
        blocks.add(id(batch["v"].base))
        if number % 11 == 0:
            kept.append((batch["v"], batch["v"].copy()))
    for given, copied in kept:
        np.testing.assert_array_equal(given, copied)
    dropped = {id(batch["v"].base) for batch in data.batches(**options)}
    assert len(dropped) <= 6 < len(blocks)
    whole = np.concatenate([batch["v"] for batch in data.batches(**options)])
    np.testing.assert_array_equal(whole[whole[:, 0].argsort()], values)


@pytest.mark.parametrize("shuffle", [False, True])
def test_without_the_last_batches_all_shards_have_equally_many(
    numbered: Path, shuffle: bool
) -> None:
    data = featx.open_dataset(numbered, layers="v")
    given = [
        pass_over(data, 2, shard=(n, 3), batch_size=8, drop_last=True, shuffle=shuffle)
        for n in (1, 2, 3)
    ]
    assert [sum(map(len, workers)) for workers in given] == [4, 4, 4]
    assert {len(b) for workers in given for batches in workers for b in batches} == {8}
    rows = [row for workers in given for row in flat(workers)]
    assert len(rows) == len(set(rows)) == 96


def test_workers_take_turns_so_that_rows_stay_in_order(numbered: Path) -> None:
    one, two = pass_over(featx.open_dataset(numbered, layers="v"), 2, batch_size=30)
    assert [*one[0], *two[0], *one[1], *two[1]] == list(range(ROWS))


def test_items_are_dictionaries_or_pairs(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers=["maps", "v"], columns=["key", "label"], pool="none")
    row = data[9]
    assert list(row) == ["maps", "v", "key", "label"]
    assert (row["maps"].shape, row["key"], row["label"].item()) == (
        (2, 2, 3), "image_9.png", 1,
    )  # fmt: skip
    assert data[-ROWS]["label"].item() == -1
    assert data.classes == ("cat", "dog")
    with pytest.raises(IndexError):
        data[ROWS]
    values, target = featx.open_dataset(numbered, layers="v", target="label")[0]
    assert (values.tolist(), target.item()) == ([1, -1], 1)
    inputs, target = featx.open_dataset(numbered, columns="key", target="price")[3]
    assert (list(inputs), target.item(), target.dtype) == (["v", "key"], 1.5, np.float32)


def test_maps_are_pooled_as_the_store_pools_them(numbered: Path) -> None:
    with featx.open_store(numbered) as store:
        expected = store.to_numpy("maps", pool="max")
    (batch,) = featx.open_dataset(numbered, layers=0, pool="max").batches()
    assert np.array_equal(batch["maps"], expected)


def test_rows_without_a_target_are_left_out(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers="v", target="label")
    assert len(data) == ROWS - 15
    for values, classes in data.batches():
        assert (values[:, 0] % 2 == classes).all()
    assert len(featx.open_dataset(numbered, target="size")) == 90
    assert featx.open_dataset(numbered, target="split").classes == ("test", "train")


def test_rows_are_chosen_by_class_split_and_condition(numbered: Path) -> None:
    def rows(**filters: Any) -> list[int]:
        return numbers_of(featx.open_dataset(numbered, layers="v", **filters).batches())

    assert rows(split="test") == list(range(80, 100))
    assert rows(split="test", label="cat") == [n for n in range(80, 100, 2) if n % 7]
    assert rows(where_column="size < 5 or size is None") == [0, 1, 2, 3, 4, *range(10, 100, 10)]
    data = featx.open_dataset(numbered, layers="v", split="test")
    assert sorted(flat(pass_over(data, 2, shuffle=True, batch_size=3))) == list(range(80, 100))


def test_numbers_with_gaps_are_floats(numbered: Path) -> None:
    (batch,) = featx.open_dataset(numbered, columns=["size", "price", "split"]).batches()
    assert np.isnan(batch["size"][::10]).all()
    assert batch["size"][11] == 11
    assert (batch["price"].dtype, batch["split"][99]) == (np.float64, "test")


def test_a_view_is_read_by_its_parts(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32)[:, None]
    positions = [(row % 3, row // 3) for row in range(12)]
    write_view(tmp_path / "view.h5", {"v": values}, positions)
    data = featx.open_dataset(tmp_path / "view.h5", columns=())
    assert numbers_of(data.batches(batch_size=5)) == list(range(12))
    rows = numbers_of(data.batches(batch_size=5, shuffle=True, buffer_rows=4))
    assert sorted(rows) == list(range(12))
    assert len({row % 3 for row in rows[:4]}) == 1  # Those of one part.


def test_half_floats_are_given_as_float32(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float16)[:, None]
    write_sample(tmp_path / "half.h5", {"v": values}, dtype="float16")
    data = featx.open_dataset(tmp_path / "half.h5")
    for shuffle in (False, True):
        (batch,) = data.batches(shuffle=shuffle)
        assert batch["v"].dtype == np.float32
        assert sorted(batch["v"][:, 0].tolist()) == list(range(6))


def test_it_is_pickled_and_forked(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers="v", target="label")
    expected = data[5][0].tolist()
    assert len(pickle.dumps(data)) < 2000
    assert pickle.loads(pickle.dumps(data))[5][0].tolist() == expected
    memory = data.memory
    child = os.fork()
    if child == 0:
        os._exit(0 if data[5][0].tolist() == expected and data.memory is not memory else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert data[5][0].tolist() == expected


def test_a_store_that_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_sample(path, {"v": np.zeros((3, 1), np.float32)})
    data = featx.open_dataset(path)
    write_sample(path, {"v": np.zeros((4, 1), np.float32)})
    with pytest.raises(StoreError, match="has changed since the data set was made"):
        data[0]


def test_what_cannot_be_had_is_said(numbered: Path) -> None:
    with pytest.raises(UnknownName, match="no column in the store named 'prise'"):
        featx.open_dataset(numbered, columns="prise")
    with pytest.raises(UnknownName, match="no class in the store named 'cow'"):
        featx.open_dataset(numbered, label="cow")
    with pytest.raises(InvalidValue, match=r"No row of .* is chosen and has a 'label'"):
        featx.open_dataset(numbered, where_column="price > 1000", target="label")
    with pytest.raises(UnknownName, match="no layer in the store named 'w'"):
        featx.open_dataset(numbered, layers="w")
    data = featx.open_dataset(numbered)
    with pytest.raises(UnknownName, match="no kind of data set named 'jax'"):
        data.to("jax")
    with pytest.raises(UnknownOption, match="bath_size"):
        data.batches(bath_size=3)  # type: ignore[call-arg]
    with pytest.raises(InvalidValue, match="'?batch_size"):
        data.batches(batch_size=0)
    with pytest.raises(InvalidType, match="epoch"):
        data.batches(epoch="1")  # type: ignore[arg-type]


def test_a_store_without_labels_has_none_to_learn(tmp_path: Path) -> None:
    write_sample(tmp_path / "f.h5", {"v": np.zeros((3, 1), np.float32)}, labels=[None] * 3)
    with pytest.raises(InvalidValue, match=r"No image in .* has a 'label'.*class folders"):
        featx.open_dataset(tmp_path / "f.h5", target="label")


def test_it_shows_itself(numbered: Path) -> None:
    data = featx.open_dataset(numbered, layers="v", target="label")
    assert repr(data).startswith("<FeatureDataset ")
    assert "rows 85" in repr(data)
