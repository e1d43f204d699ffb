"""Reading a damaged store as far as possible, and knowing which rows are lost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property

import h5py
import numpy as np

from featx.errors import StoreError
from featx.images.sources import ImageFailure, label_of
from featx.store.format import COLUMN_CHUNK, READ_ERRORS, dataset_name, further_datasets, read_texts
from featx.store.reader import FeatureStore


def damaged_rows(dataset: h5py.Dataset) -> np.ndarray:
    """Return the rows of a dataset in chunks that cannot be read, int64 (n,)."""
    step = dataset.chunks[0] if dataset.chunks else max(1, len(dataset))
    bad = []
    for start in range(0, len(dataset), step):
        try:
            _ = dataset[start : start + step]
        except READ_ERRORS:
            bad.append(np.arange(start, min(start + step, len(dataset))))
    return np.concatenate(bad) if bad else np.empty(0, np.int64)


class SalvagedStore(FeatureStore):
    """A damaged store: what cannot be read is empty or zero.

    Rows in `lost` must not be used.
    """

    _salvage = True

    @cached_property
    def lost(self) -> np.ndarray:
        """bool (N,): rows of which a column or a layer cannot be read."""
        lost = np.zeros(len(self), bool)
        if self.row_map is None:
            for number in range(len(self.layers)):
                lost[damaged_rows(self._file[f"features/{dataset_name(number)}"])] = True
        names = ["keys", "content_hash", "labels", "file_size", "file_mtime_ns", "missing"]
        names += ["splits"] if "splits" in self._file else []
        with contextlib.suppress(*READ_ERRORS):  # Without their names, columns are recorded again.
            names += further_datasets(self._file, "columns")
        for name in names:
            lost[damaged_rows(self._file[name])] = True
        return lost

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """N keys; empty where they cannot be read."""
        keys = [""] * len(self)
        for start in range(0, len(self), COLUMN_CHUNK):
            piece = slice(start, min(start + COLUMN_CHUNK, len(self)))
            try:
                keys[piece] = read_texts(self._file["keys"], piece)
            except READ_ERRORS:
                continue
        return tuple(keys)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur; made from the keys where they cannot be read."""
        try:
            return self._texts("classes")
        except StoreError:
            return tuple(sorted({label for label in map(label_of, self.keys) if label}))

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """N class names; made from the keys where the names of the classes cannot be read."""
        try:
            return self._named("labels", self.classes)
        except StoreError:
            return tuple(map(label_of, self.keys))

    @cached_property
    def splits(self) -> tuple[str | None, ...]:
        """N names of splits; none where these cannot be read: they are recorded again."""
        try:
            return super().splits
        except StoreError:
            return (None,) * len(self)

    @cached_property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Further columns; none where their names cannot be read: they are recorded again."""
        try:
            return super().columns
        except StoreError:
            return {}

    @cached_property
    def failures(self) -> tuple[ImageFailure, ...]:
        """The failure ledger; empty if it cannot be read: the images are tried again."""
        try:
            return super().failures
        except StoreError:
            return ()

    def _column(self, name: str) -> np.ndarray:
        dataset = self._file[name]
        try:
            return np.asarray(dataset[:])
        except READ_ERRORS:
            values = np.zeros(dataset.shape, dataset.dtype)
            good = np.ones(len(dataset), bool)
            good[damaged_rows(dataset)] = False
            for start in range(0, len(dataset), COLUMN_CHUNK):
                if good[start]:
                    values[start : start + COLUMN_CHUNK] = dataset[start : start + COLUMN_CHUNK]
            return values
