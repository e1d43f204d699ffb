"""Reading a feature store."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.arguments import check_given_flag, check_given_store, plain_arguments, plain_method
from featx.checks.numbers import check_whole_number
from featx.errors import InvalidType
from featx.images.sources import Location
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING
from featx.store import frames
from featx.store.stored_layers import StoreLayers
from featx.store.values import FeatureTable, LayerValues

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from PIL import Image

PAGE_VALUES = 1024
"""Values in a page of memory."""


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


class FeatureStore(StoreLayers, Shown):
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
        # The system clears memory without Python's lock, which reading takes for each chunk: so
        # what another thread does meanwhile (an import) does not stop both of them.
        values.reshape(-1)[::PAGE_VALUES] = 0
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
