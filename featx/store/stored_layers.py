"""The features of a store's rows: one layer after the other, or vectors made of it."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np

from featx.arguments import plain_method
from featx.checks.layers import check_layer, check_pool
from featx.checks.numbers import check_rows, check_whole_numbers
from featx.errors import StoreError, UnknownName, join_names
from featx.images.sources import Location
from featx.poolings import POOLINGS, pool_features, pooled_shape
from featx.specs import FeatureSpec
from featx.store.dataset_rows import DatasetRows
from featx.store.format import READ_ERRORS, dataset_name
from featx.store.key_locator import KeyLocator
from featx.store.single_rows import read_rows
from featx.store.stored_columns import StoreColumns
from featx.store.values import LayerValues, RowReader

BLOCK_BYTES = 32 << 20
"""Most bytes of one layer held in memory at a time while reading in sequence."""


class StoreLayers(StoreColumns):
    """An open store with its layers, as stored and as vectors.

    Attributes:
        path: The file.
        header: Model, features and root.
    """

    def rows(self, keys: Location | Iterable[Location]) -> np.ndarray:
        """Return the rows of keys, int64 (n,), or of one, ().

        Args:
            keys: Keys, or paths of images in the folder that the keys are relative to.

        Raises:
            UnknownName: If there is no such image in the store.
        """
        return self._locator.rows(keys)

    @cached_property
    def _locator(self) -> KeyLocator:
        return KeyLocator(self.keys, self.root)

    def spec(self, layer: str | int | None = None) -> FeatureSpec:
        """Return the spec of a layer, by name or by its place in `layers`; by default the deepest.

        Raises:
            UnknownName: If the store has no such layer.
        """
        if layer is None:
            return self.header.features[-1]
        layer = check_layer("layer", layer) or ""
        for spec in self.header.features:
            if spec.name == layer:
                return spec
        if re.fullmatch(r"[+-]?[0-9]+", layer):
            with contextlib.suppress(IndexError):
                return self.header.features[int(layer)]
        raise UnknownName(
            "layer in the store", layer, self.layers, remedy=f"It has {join_names(self.layers)}."
        )

    def features(self, layer: str | int | None = None) -> LayerValues:
        """Return a layer's rows, (N, *shape); slice them to read from the disk."""
        spec = self.spec(layer)
        read = self._row_reader(spec)
        return LayerValues(read, len(self), spec, np.dtype(self.header.dtype), self.rows)

    def _row_reader(self, spec: FeatureSpec) -> RowReader:
        """Return what reads rows of a layer as stored, and keeps its dataset open meanwhile."""
        dataset = f"features/{dataset_name(self.header.features.index(spec))}"
        opened: DatasetRows | None = None

        def read(rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
            nonlocal opened
            try:
                if self.part_files is None:
                    if not opened:  # Or closed with its file.
                        opened = DatasetRows(self._file[dataset])
                    return opened.read(rows, out)
                if out is None:
                    out = np.empty((len(rows), *spec.shape), self.header.dtype)
                self.part_files.read(dataset, rows, out)
                return out
            except StoreError:
                self._check_current()
                raise
            except READ_ERRORS as error:  # A wrong checksum of a chunk; a part that has just gone.
                self._check_current()
                raise self._damaged(spec.name, error) from error

        return read

    @plain_method(rows=check_whole_numbers(1))
    def iter_features(
        self, layer: str | int | None = None, rows: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yield a layer's rows in order, in blocks of bounded size, as stored."""
        values = self.features(layer)
        step = rows or self._step(self.spec(layer))
        for start in range(0, len(values), step):
            yield values[start : start + step]

    def vector_spec(self, layer: str | int | None, pool: str | None) -> FeatureSpec:
        """Return the spec of a layer as `iter_vectors` gives it."""
        spec, applied = self._spec_and_pool(layer, pool)
        if applied is None:
            return spec
        shape, package = pooled_shape(spec.shape, applied), POOLINGS.package_of(applied)
        return replace(spec, pool=applied, shape=shape, package=package)

    def iter_vectors(self, layer: str | int | None, pool: str | None) -> Iterator[np.ndarray]:
        """Yield float32 blocks of a layer's rows in order, pooled if it was stored as maps."""
        _, applied = self._spec_and_pool(layer, pool)
        for block in self.iter_features(layer):
            yield pool_features(block, applied or "none")

    def vector_reader(self, layer: str | int | None, pool: str | None) -> RowReader:
        """Return what reads chosen rows of a layer that is read many times.

        It gives pooled maps in float32, or what is stored as it is.
        """
        stored, applied = self._spec_and_pool(layer, pool)
        read = self._row_reader(stored)
        if applied in (None, "none"):
            return read

        def read_pooled(rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
            pooled = pool_features(read(rows), applied)
            if out is None:
                return pooled
            out[...] = pooled
            return out

        return read_pooled

    @plain_method(rows=check_rows)
    def vectors(self, layer: str | int | None, pool: str | None, rows: np.ndarray) -> np.ndarray:
        """Read chosen rows of a layer as float32, pooled if it was stored as maps.

        Memory: the rows as stored, at most `BLOCK_BYTES` of them at a time, and the result.
        """
        stored, applied = self._spec_and_pool(layer, pool)
        values, step = self.features(layer), self._step(stored)
        out = np.empty((len(rows), *self.vector_spec(layer, pool).shape), np.float32)
        for start in range(0, len(rows), step):
            block = values[rows[start : start + step]]
            out[start : start + step] = pool_features(block, applied or "none")
        return out

    @plain_method(rows=check_rows)
    def vectors_unchecked(self, layer: str | int | None, rows: np.ndarray) -> np.ndarray | None:
        """Read chosen rows of a layer without the chunks they are in, nor their checksums.

        Returns:
            float32 (n, *shape), to be compared with a hash; None where rows cannot be read so.
        """
        stored = self.spec(layer)
        if self.part_files is not None:
            return None
        name = f"features/{dataset_name(self.header.features.index(stored))}"
        try:
            values = read_rows(self._file[name], rows)
        except (*READ_ERRORS, ValueError, OverflowError):  # A row below 0.
            return None
        return None if values is None else values.astype(np.float32, copy=False)

    def _step(self, spec: FeatureSpec) -> int:
        """Return how many rows as stored fit into a block."""
        row_bytes = math.prod(spec.shape) * np.dtype(self.header.dtype).itemsize
        return max(1, BLOCK_BYTES // max(1, row_bytes))

    def _spec_and_pool(
        self, layer: str | int | None, pool: str | None
    ) -> tuple[FeatureSpec, str | None]:
        """Return the spec of a layer as stored, and how it is pooled; None where it was already."""
        spec = self.spec(layer)
        is_map = spec.pool == "none" and len(spec.shape) > 1
        return spec, check_pool("pool", pool) if is_map else None
