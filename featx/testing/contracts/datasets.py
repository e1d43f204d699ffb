"""The contract of a kind of data set; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from featx.datasets.choosing import open_dataset
from featx.datasets.kinds import DATASETS, DatasetKind
from featx.errors import InvalidValue, LibraryMissing
from featx.extraction import extract
from featx.store import open_store
from featx.testing.images import write_images
from featx.testing.toy import toy_model


def get_kind(kind: str) -> DatasetKind:
    """Return a kind; a test of one whose library is not installed is skipped."""
    try:
        return DATASETS[kind]
    except LibraryMissing as error:
        pytest.skip(str(error))


class DatasetContract:
    """Tests that take the name of a kind of data set.

    Example::

        @pytest.mark.parametrize("kind", ["numpy"])
        class TestDatasets(DatasetContract):
            def vectors(self, batch):
                return batch["mean"]
    """

    def vectors(self, batch: Any) -> Any:
        """Return the rows of the layer ``mean`` in one batch, or one row of it, as an array."""
        raise NotImplementedError

    def test_every_row_is_there_once(self, kind: str, tmp_path: Path) -> None:
        """In the order of the store, with the values of the store."""
        get_kind(kind)
        store = self.store(tmp_path)
        with open_store(store) as opened:
            expected = opened.to_numpy("mean")
        assert np.array_equal(self.read(store, kind, batch_size=4), expected)

    def test_shuffled_every_row_is_there_once(self, kind: str, tmp_path: Path) -> None:
        """In the same order for the same seed."""
        get_kind(kind)
        if not DATASETS[kind].TAKES_BATCHES:
            pytest.skip("it has rows, which others shuffle")
        store = self.store(tmp_path)
        plain = self.read(store, kind, batch_size=3)
        one, same, other = (
            self.read(store, kind, batch_size=3, shuffle=True, seed=seed) for seed in (1, 1, 2)
        )
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)
        assert np.array_equal(np.sort(one, axis=0), np.sort(plain, axis=0))

    def test_maps(self, kind: str, tmp_path: Path) -> None:
        """Rows that are maps are kept by kinds that can, and refused by the others."""
        get_kind(kind)
        data = open_dataset(self.store(tmp_path), layers="map", pool="none")
        try:
            made = data.to(kind)
        except InvalidValue:
            return
        assert sum(1 for _ in made) in (1, len(data))  # One batch, or all rows.

    def test_options_of_batches_are_taken_or_refused(self, kind: str, tmp_path: Path) -> None:
        """None of them is ignored."""
        get_kind(kind)
        data = open_dataset(self.store(tmp_path))
        if DATASETS[kind].TAKES_BATCHES:
            assert len(list(data.to(kind, batch_size=4))) == 3
        else:
            with pytest.raises(InvalidValue, match="rows, not batches"):
                data.to(kind, batch_size=4)

    def store(self, folder: Path) -> Path:
        """Extract two layers of the toy from ten pictures of two classes."""
        store = folder / "features.h5"
        if not store.exists():
            photos = write_images(10, folder / "photos", classes=("cat", "dog"))
            extract(photos, model=toy_model(), layers=["map", "mean"], pool="none", output=store)
        return store

    def read(self, store: Path, kind: str, **options: Any) -> np.ndarray:
        """Return the rows of a data set in their order."""
        taken = options if get_kind(kind).TAKES_BATCHES else {}
        made: Iterable[Any] = open_dataset(store, layers="mean", columns="label").to(kind, **taken)
        return np.concatenate([np.atleast_2d(self.vectors(batch)) for batch in made])
