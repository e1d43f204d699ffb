"""Reading a feature store."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.arguments import check_given_flag, check_given_store, plain_arguments, plain_method
from featx.checks.layers import check_layer, check_pool
from featx.checks.numbers import check_rows, check_whole_number, check_whole_numbers
from featx.errors import InvalidType, StoreError, UnknownName, join_names
from featx.images.sources import Location
from featx.poolings import POOLINGS, pool_features, pooled_shape
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING, FeatureSpec
from featx.store import frames
from featx.store.dataset_rows import DatasetRows
from featx.store.format import READ_ERRORS, dataset_name
from featx.store.key_locator import KeyLocator
from featx.store.single_rows import read_rows
from featx.store.stored_columns import StoreColumns
from featx.store.values import FeatureTable, LayerValues, RowReader

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from PIL import Image

BLOCK_BYTES = 32 << 20
"""Most bytes of one layer held in memory at a time while reading in sequence."""


@plain_arguments(path=check_given_store)
def open_store(path: str | Path) -> FeatureStore:
    """Open a feature store for reading.

    Args:
        path: The HDF5 file that `featx extract` wrote.

    Returns:
        The store; use it in a ``with`` statement, or call `close`.

    Raises:
        StoreNotFound: If there is no such file.
        StoreDamaged: If it is not a feature store, or not complete.

    Example:
        >>> open_store("no-such.h5")
        Traceback (most recent call last):
        ...
        featx.errors.StoreNotFound: There is no feature store 'no-such.h5'. ...
    """
    return FeatureStore(Path(path))


class FeatureStore(StoreColumns, Shown):
    """An open feature store. Rows have the same order in every property.

    ``store[layer]`` is a lazy array of a layer's rows, which takes slices, masks, and keys.

    Attributes:
        path: The file.
        header: Model, features and root.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(3), model=toy_model(), layers=["mean"], output="r.h5")
        >>> with featx.open_store("r.h5") as store:
        ...     store["mean"][1:].shape, store["mean"][["image_2.png"]].shape
        ((2, 3), (1, 3))
    """

    __iter__ = None  # What it would iterate is a guess: keys, layers or rows.

    def __getitem__(self, layer: str) -> LayerValues:
        """Return a layer's rows, (N, *shape); see `features`."""
        if not isinstance(layer, str):
            raise InvalidType(
                "A store is indexed by the name of a layer, and that by rows or keys: "
                f"store[{self.layers[-1]!r}][0]. Received: {layer!r}."
            )
        return self.features(layer)

    def __contains__(self, name: object) -> bool:
        """Whether there is a layer of this name, or an image of this key or path."""
        if not isinstance(name, (str, os.PathLike)):
            return False
        return name in self.layers or self._locator.find(name) is not None

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

    def table(
        self, layer: str | int | None = None, *, pool: str | None = DEFAULT_READ_POOLING
    ) -> FeatureTable:
        """Read one layer as vectors, pooled if it was stored as maps.

        Args:
            layer: The layer; the deepest one when None.
            pool: Applied to layers that were stored with ``none``. Vectors stay as they are.

        Returns:
            All rows. Memory: N x D float32, plus one block of maps.
        """
        spec = self.vector_spec(layer, pool)
        values = np.empty((len(self), *spec.shape), np.float32)
        read, step = self.vector_reader(layer, pool), self._step(self.spec(layer))
        is_direct = np.dtype(self.header.dtype) == values.dtype  # HDF5 converts slowly.
        for start in range(0, len(self), step):
            block = values[start : start + step]
            rows = np.arange(start, start + len(block))
            if is_direct:
                read(rows, block)
            else:
                block[...] = read(rows)
        return FeatureTable(self.keys, values, self.labels, self.content_hash, spec, self.model)

    def batches(
        self,
        layer: str | int | None = None,
        *,
        batch_size: int | None = None,
        pool: str | None = DEFAULT_READ_POOLING,
    ) -> Iterator[FeatureTable]:
        """Yield the rows in order as tables: keys, values, labels. One of them is in memory.

        Args:
            layer: The layer; the deepest one when None.
            batch_size: Rows of each table; as many as fit into 32 MiB when None.
            pool: Applied to layers that were stored with ``none``.
        """
        spec = self.vector_spec(layer, pool)
        if batch_size is not None:
            batch_size = check_whole_number("batch_size", batch_size, least=1)
        step = batch_size or self._step(self.spec(layer))
        for start in range(0, len(self), step):
            rows = np.arange(start, min(start + step, len(self)))
            chosen = slice(start, start + step)
            yield FeatureTable(
                self.keys[chosen],
                self.vectors(layer, pool, rows),
                self.labels[chosen],
                self.content_hash[chosen],
                spec,
                self.model,
            )

    def to_numpy(
        self,
        layer: str | int | None = None,
        *,
        keys: Location | Iterable[Location] | None = None,
        pool: str | None = DEFAULT_READ_POOLING,
    ) -> np.ndarray:
        """Read a layer as an array, float32 (N, D).

        Args:
            layer: The layer; the deepest one when None.
            keys: Only these images, in this order.
            pool: Applied to layers that were stored with ``none``, which keeps maps, (N, h, w, c).
        """
        rows = np.arange(len(self)) if keys is None else np.atleast_1d(self.rows(keys))
        return self.vectors(layer, pool, rows)

    @plain_method(features=check_given_flag)
    def to_arrow(
        self,
        layer: str | int | None = None,
        *,
        keys: Location | Iterable[Location] | None = None,
        pool: str | None = DEFAULT_READ_POOLING,
        features: bool = True,
    ) -> pyarrow.Table:
        """Return a table of Arrow: key, label, split, further columns, and the layer.

        Its last column has the layer's name and holds a list of D float32 in each row.
        `polars.from_arrow` makes a data frame of polars of it.

        Args:
            layer: The layer; the deepest one when None.
            keys: Only these images, in this order.
            pool: Applied to layers that were stored with ``none``.
            features: Whether the layer is wanted; its rows are not read otherwise.

        Raises:
            LibraryMissing: If pyarrow is not installed.
        """
        rows = None if keys is None else np.atleast_1d(self.rows(keys))
        return frames.to_arrow(self, rows, self._feature(layer, pool) if features else None)

    @plain_method(features=check_given_flag)
    def to_pandas(
        self,
        layer: str | int | None = None,
        *,
        keys: Location | Iterable[Location] | None = None,
        pool: str | None = DEFAULT_READ_POOLING,
        features: bool = True,
    ) -> pandas.DataFrame:
        """Return a data frame of pandas, by key: label, split, further columns, and the layer.

        The layer is D columns of float32, such as ``gap_0``. Whole numbers and truth values of
        which some are missing are of pandas' types with missing values.

        Args:
            layer: The layer; the deepest one when None.
            keys: Only these images, in this order.
            pool: Applied to layers that were stored with ``none``.
            features: Whether the layer is wanted; its rows are not read otherwise.

        Raises:
            LibraryMissing: If pandas is not installed.

        Example:
            >>> import featx
            >>> from featx.testing import toy_model, write_images
            >>> _ = featx.extract(
            ...     write_images(3), model=toy_model(), layers=["mean"], output="o.h5"
            ... )
            >>> with featx.open_store("o.h5") as store:
            ...     list(store.to_pandas().columns)
            ['label', 'mean_0', 'mean_1', 'mean_2']
        """
        rows = None if keys is None else np.atleast_1d(self.rows(keys))
        return frames.to_pandas(self, rows, self._feature(layer, pool) if features else None)

    @plain_method(features=check_given_flag)
    def join(
        self,
        frame: Any,
        on: str | None = None,
        layer: str | int | None = None,
        *,
        pool: str | None = DEFAULT_READ_POOLING,
        features: bool = True,
    ) -> Any:
        """Put what is stored of images beside the rows of a data frame that names them.

        Args:
            frame: A data frame of pandas or polars, or a table of Arrow. Its rows keep their order
                and number; those whose image is not in the store get missing values.
            on: Its column of keys or paths. When None, it is found as in a manifest; of pandas also
                the index.
            layer: The layer; the deepest one when None.
            pool: Applied to layers that were stored with ``none``.
            features: Whether the layer is wanted.

        Returns:
            The same kind of frame; columns of the store whose names it has already are left out.

        Raises:
            InvalidValue: If it has no such column.
        """
        return frames.join(self, frame, on, self._feature(layer, pool) if features else None)

    @plain_method(prepared=check_given_flag, allow_download=check_given_flag)
    def images(
        self,
        keys: Location | Iterable[Location],
        *,
        prepared: bool = False,
        allow_download: bool = False,
    ) -> list[Image.Image]:
        """Read and decode images again from where they were found.

        Args:
            keys: Their keys, or paths.
            prepared: As the model gets them, in its size; otherwise upright, in their own.
            allow_download: Fetch what is at URLs. Unasked, nothing is fetched because of what a
                file says.

        Returns:
            Pillow images: grey, RGB or RGBA, as the model takes them.

        Raises:
            ImageError: If one is not there any more, has changed since, or was passed in Python.
        """
        from featx.store.pictures import read_pictures

        rows = np.atleast_1d(self.rows(keys))
        return read_pictures(self, rows, prepared=prepared, allow_download=allow_download)

    def _feature(self, layer: str | int | None, pool: str | None) -> frames.Feature:
        width = math.prod(self.vector_spec(layer, pool).shape)
        return frames.Feature(
            self.spec(layer).name,
            width,
            lambda rows: self.vectors(layer, pool, rows).reshape(len(rows), width),
        )

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
