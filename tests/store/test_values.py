"""Indexing a layer's rows on the disk is indexing an array, for one file and for a view."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import featx.store.values as values_module
from featx.store import FeatureStore, open_store
from featx.store.dataset_rows import DatasetRows
from featx.store.values import LayerValues
from tests.store_samples import write_sample, write_view

ROWS = np.random.default_rng(3).normal(size=(23, 2, 3)).astype(np.float32)
COUNT = len(ROWS)

# Three parts, their rows interleaved and in reverse.
PLACES = [(n % 3, n // 3) for n in reversed(range(COUNT))]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FeatureStore, ...]]:
    folder = tmp_path_factory.mktemp("values")
    write_sample(folder / "file.h5", {"map": ROWS})
    write_view(folder / "view.h5", {"map": ROWS}, PLACES)
    with open_store(folder / "file.h5") as file, open_store(folder / "view.h5") as view:
        assert file.row_map is None
        assert view.row_map is not None
        yield file, view


NUMBER = st.integers(-COUNT, COUNT - 1)
ANY_NUMBER = st.integers(-2 * COUNT, 2 * COUNT)
FIRST = st.one_of(
    NUMBER,
    NUMBER.map(np.int64),
    st.slices(COUNT),
    st.builds(slice, *[st.none() | ANY_NUMBER] * 2, st.sampled_from([None, 1, 2, 7, -1, -3])),
    st.lists(NUMBER, max_size=30),
    st.lists(NUMBER, min_size=1).map(np.array),
    st.lists(NUMBER, min_size=4, max_size=4).map(lambda rows: np.array(rows).reshape(2, 2)),
    st.lists(st.booleans(), min_size=COUNT, max_size=COUNT),
    st.lists(st.booleans(), min_size=COUNT, max_size=COUNT).map(np.array),
)
SECOND = st.one_of(st.integers(-2, 1), st.slices(2))
THIRD = st.one_of(st.integers(-3, 2), st.slices(3))
SELECTION = st.one_of(
    FIRST,
    st.tuples(FIRST),
    st.tuples(st.slices(COUNT) | NUMBER, SECOND),
    st.tuples(st.slices(COUNT) | NUMBER, SECOND, THIRD),
    st.tuples(st.slices(COUNT) | NUMBER, st.just(...), THIRD),
    st.tuples(st.just(...), THIRD),
    st.tuples(st.just(...), SECOND, THIRD),
    st.just(...),
    st.just(()),
    st.just(None),
    st.tuples(st.none(), FIRST),
    st.tuples(st.none(), st.slices(COUNT) | NUMBER, SECOND),
    st.tuples(st.just(...), NUMBER, SECOND, THIRD),
)


@settings(max_examples=150, deadline=None)
@given(SELECTION)
def test_selection_is_that_of_an_array(stores: tuple[FeatureStore, ...], selection: Any) -> None:
    expected = ROWS[selection]
    for store in stores:
        chosen = store.features("map")[selection]
        assert chosen.dtype == expected.dtype
        assert chosen.shape == expected.shape
        np.testing.assert_array_equal(chosen, expected)


@pytest.mark.parametrize(
    "selection",
    [
        COUNT,
        -COUNT - 1,
        [0, COUNT],
        np.array([-COUNT - 1]),
        [True] * (COUNT - 1),
        np.ones(COUNT + 1, bool),
        (0, 2),
        (0, 0, 3),
        (0, 0, 0, 0),
        1.5,
        "map",
    ],
    ids=repr,
)
def test_selection_out_of_range_is_an_index_error(
    stores: tuple[FeatureStore, ...], selection: Any
) -> None:
    arrays: list[Any] = [ROWS, *(store.features("map") for store in stores)]
    for values in arrays:
        with pytest.raises(IndexError):
            values[selection]


def test_rows_are_copies_that_belong_to_the_caller(stores: tuple[FeatureStore, ...]) -> None:
    for store in stores:
        rows = store.features("map")[:2]
        rows[:] = 0
        np.testing.assert_array_equal(store.features("map")[:2], ROWS[:2])


def test_array_length_iteration_and_shape(stores: tuple[FeatureStore, ...]) -> None:
    for store in stores:
        values = store.features("map")
        assert (len(values), values.shape, values.dtype) == (COUNT, ROWS.shape, ROWS.dtype)
        np.testing.assert_array_equal(np.asarray(values), ROWS)
        np.testing.assert_array_equal(np.asarray(values, np.float64), ROWS.astype(np.float64))
        np.testing.assert_array_equal(np.stack(list(itertools.islice(values, 3))), ROWS[:3])


def test_nothing_is_read_for_no_rows(stores: tuple[FeatureStore, ...]) -> None:
    for store in stores:
        values = store.features("map")
        nothing: list[Any] = [[], slice(5, 5), np.zeros(COUNT, bool)]
        for selection in nothing:
            assert values[selection].shape == (0, 2, 3)


def test_rows_read_back_one_by_one_in_any_order(stores: tuple[FeatureStore, ...]) -> None:
    order = np.random.default_rng(1).permutation(COUNT).tolist()
    for store in stores:
        values = store.features("map")
        np.testing.assert_array_equal(np.stack([values[row] for row in order]), ROWS[order])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, COUNT - 1), max_size=12))
def test_one_long_read_and_many_short_ones_agree(
    stores: tuple[FeatureStore, ...], rows: list[int]
) -> None:
    with h5py.File(stores[0].path, "r", locking=False) as file:
        chosen = DatasetRows(file["features/f000"]).read(np.array(rows, np.int64))
    np.testing.assert_array_equal(chosen, ROWS[np.array(rows, np.int64)])


def test_far_rows_are_not_read_through_what_lies_between() -> None:
    class Dataset:
        shape, dtype, chunks = (10**9, 1), np.dtype(np.float32), (4096, 1)
        file = SimpleNamespace(driver="none")

        def __getitem__(self, rows: slice) -> np.ndarray:
            assert rows.stop - rows.start <= 4096, "more than a chunk"
            return np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]

    rows = np.array([10**9 - 1, 0, 5, 10**9 - 1])
    assert DatasetRows(Dataset()).read(rows)[:, 0].tolist() == rows.astype(np.float32).tolist()


def test_blocks_are_what_the_memory_allows(
    stores: tuple[FeatureStore, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.store.stored_layers.BLOCK_BYTES", 5 * ROWS[0].nbytes)
    for store in stores:
        blocks = list(store.iter_features("map"))
        assert [len(block) for block in blocks] == [5, 5, 5, 5, 3]
        np.testing.assert_array_equal(np.concatenate(blocks), ROWS)
        np.testing.assert_allclose(store.table("map").values, ROWS.reshape(COUNT, 2, 3).mean(1))


def test_open_parts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values_module, "MAX_OPEN_PARTS", 2)
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    write_view(tmp_path / "view.h5", {"v": rows}, [(number, 0) for number in range(5)])
    with open_store(tmp_path / "view.h5") as store:
        values = store.features("v")
        for row in (0, 1, 2, 3, 4, 3, 0, 4, 4, 1):
            np.testing.assert_array_equal(values[row], rows[row])
            files = store.part_files
            assert files is not None
            assert files.num_open <= 2
        np.testing.assert_array_equal(values[:], rows)


def test_values_of_a_closed_store_open_it_again(stores: tuple[FeatureStore, ...]) -> None:
    for store in stores:
        values: LayerValues = store.features("map")
        store.close()
        np.testing.assert_array_equal(values[3], ROWS[3])


def test_rows_far_apart_are_read_in_linear_time(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("d", data=np.arange(200_000.0), chunks=(1000,))
        rows = np.random.default_rng(0).permutation(200_000)[:60_000]
        np.testing.assert_array_equal(DatasetRows(dataset).read(rows), rows)  # It took minutes.
