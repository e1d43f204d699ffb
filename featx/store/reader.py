"""Reading a feature store."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from featx.arguments import check_given_path, plain_arguments
from featx.checks import check_layer
from featx.errors import StoreError, UnknownName, join_names
from featx.images.reading import HASH_BYTES
from featx.images.roots import Root
from featx.images.sources import ImageFailure
from featx.poolings import POOLINGS, pool_features, pooled_shape
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING, FeatureSpec, ModelSpec, digest
from featx.store.column_datasets import COPIES, GROUP, NAMES, StoredColumns, read_column
from featx.store.format import READ_ERRORS, dataset_name, number_attribute, text_attribute
from featx.store.opened_file import OpenedFile
from featx.store.rows import ContentsDigest, PartReference, RowMap, Rows
from featx.store.values import FeatureTable, LayerValues, PartFiles, read_dataset

BLOCK_BYTES = 32 << 20
"""Most bytes of one layer held in memory at a time while reading in sequence."""


@plain_arguments(path=check_given_path)
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


class FeatureStore(OpenedFile, Shown):
    """An open feature store. Rows have the same order in every property.

    Attributes:
        path: The file.
        header: Model, features and root.
    """

    def __init__(self, path: Path) -> None:
        self._parts: PartFiles | None = None
        super().__init__(path)

    def __len__(self) -> int:
        return self._num_rows

    def close(self) -> None:
        """Close the file. It is opened again when something more is read from it."""
        super().close()
        if self._parts is not None:
            self._parts.close()

    def load_columns(self) -> None:
        """Read everything but the features into memory, so that the file can be closed."""
        _ = self.keys, self.labels, self.content_hash, self.failures, self.missing, self.copies
        _ = (
            self.splits,
            self.file_size,
            self.file_mtime_ns,
            self._num_rows,
            self.row_map,
            self.next_part,
            dict(self.columns),
        )

    @cached_property
    def _num_rows(self) -> int:
        return len(self._file["keys"])

    @property
    def model(self) -> ModelSpec:
        """The model that computed the features."""
        return self.header.model

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of computation."""
        return tuple(spec.name for spec in self.header.features)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of model, input contract, layers, pooling and storage type."""
        return self.header.fingerprint

    @property
    def contents(self) -> str:
        """SHA-256 of fingerprint, keys and content hashes: changes when any row does.

        Also when rows were computed again because they were wrong.
        """
        corrections = [run["shifted"] for run in self.header.runs if "shifted" in run]
        written = self.written_contents
        return digest([written, corrections]) if corrections else written

    @property
    def written_contents(self) -> str:
        """SHA-256 of fingerprint, keys and content hashes, as it was written with them."""
        return text_attribute(self._file, "contents")

    @cached_property
    def next_part(self) -> int:
        """Number of the first part that the store has not taken in."""
        return number_attribute(self._file, "next_part")

    @cached_property
    def row_map(self) -> RowMap | None:
        """The part file of each row if the store is a view, otherwise None."""
        if "parts" not in self._file:
            return None
        texts = (self._texts("parts/file"), self._texts("parts/sha256"))
        counts = self._column("parts/rows").tolist()
        parts = tuple(PartReference(*values) for values in zip(*texts, counts, strict=True))
        part, row = self._column("row_part"), self._column("row_index")
        if len(part) and not (part.min() >= 0 and part.max() < len(parts) and row.min() >= 0):
            raise self._damaged("row_part", "a number has no part")
        if (row >= np.array(counts, np.int64)[part]).any():
            raise self._damaged("row_index", "a part has fewer rows")
        return RowMap(parts, part, row)

    @property
    def part_files(self) -> PartFiles | None:
        """The part files, if the store is a view."""
        if self._parts is None and self.row_map is not None:
            self._parts = PartFiles(self._location, self.row_map, salvage=self._salvage)
        return self._parts

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """N keys: paths relative to the root, with ``/``."""
        keys = self._texts("keys")
        digest = ContentsDigest(self.fingerprint)
        digest.update(keys, self.content_hash)
        if digest.hexdigest() != self.written_contents:
            raise self._damaged("keys", "they are not those that were written")
        return keys

    @cached_property
    def content_hash(self) -> np.ndarray:
        """uint8 (N, 16): BLAKE2b-128 of each file's bytes."""
        return self._column("content_hash")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, in natural order."""
        return self._texts("classes")

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """N class names, None where there is none."""
        return self._named("labels", self.classes)

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """The names of splits that occur, in natural order."""
        return self._texts("split_names") if "splits" in self._file else ()

    @cached_property
    def splits(self) -> tuple[str | None, ...]:
        """N names of splits, as a manifest or an array file gave them, None where there is none."""
        if "splits" not in self._file:
            return (None,) * len(self)
        return self._named("splits", self.split_names)

    @cached_property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Further columns of the tables of images, name → N values; see `store.md`.

        Text, bool and whole numbers are None where they are missing, floats NaN; whole numbers and
        bool then come as objects. Each is read when it is first asked for.
        """
        return self._further(GROUP)

    @cached_property
    def file_size(self) -> np.ndarray:
        """int64 (N,): size of each file in bytes when it was read."""
        return self._column("file_size")

    @cached_property
    def file_mtime_ns(self) -> np.ndarray:
        """int64 (N,): modification time of each file when it was read."""
        return self._column("file_mtime_ns")

    @cached_property
    def missing(self) -> np.ndarray:
        """bool (N,): images that were gone at the last synchronisation."""
        return self._column("missing")

    @property
    def missing_keys(self) -> set[str]:
        """Keys of images that were gone at the last synchronisation."""
        return {self.keys[row] for row in np.flatnonzero(self.missing)}

    @cached_property
    def copies(self) -> Rows:
        """In a part: further images, with the features of a row that has the same content."""
        if "copies" not in self._file:
            none = np.empty(0, np.int64)
            return Rows((), np.empty((0, HASH_BYTES), np.uint8), (), none, none)
        return Rows(
            keys=self._texts("copies/keys"),
            content_hash=self._column("copies/content_hash"),
            labels=self._named("copies/labels", self.classes),
            file_size=self._column("copies/file_size"),
            file_mtime_ns=self._column("copies/file_mtime_ns"),
            splits=(
                self._named("copies/splits", self.split_names)
                if "copies/splits" in self._file
                else ()
            ),
            columns=dict(self._further(COPIES)),
        )

    @cached_property
    def failures(self) -> tuple[ImageFailure, ...]:
        """The failure ledger: images that could not be used, and why."""
        columns = (
            self._texts("failures/key"),
            self._texts("failures/reason"),
            self._column("failures/size").tolist(),
            self._column("failures/mtime_ns").tolist(),
        )
        if len({len(column) for column in columns}) > 1:
            raise self._damaged("failures", "its columns have different lengths")
        return tuple(ImageFailure(*values) for values in zip(*columns, strict=True))

    @cached_property
    def root(self) -> Root:
        """What keys are relative to, even after it was moved together with the store."""
        first = next(iter(self._texts("keys", slice(0, 1))), None)
        return self.header.root.relocate(self.header.root_relative, self._location.parent, first)

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
        dataset = f"features/{dataset_name(self.header.features.index(spec))}"

        def read(rows: np.ndarray) -> np.ndarray:
            try:
                if self.part_files is None:
                    return read_dataset(self._file[dataset], rows)
                out = np.empty((len(rows), *spec.shape), self.header.dtype)
                self.part_files.read(dataset, rows, out)
                return out
            except StoreError:
                self._check_current()
                raise
            except READ_ERRORS as error:  # A wrong checksum of a chunk; a part that has just gone.
                self._check_current()
                raise self._damaged(spec.name, error) from error

        return LayerValues(read, len(self), spec, np.dtype(self.header.dtype))

    def iter_features(
        self, layer: str | int | None = None, rows: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yield a layer's rows in order, in blocks of bounded size, as stored."""
        values = self.features(layer)
        row_bytes = max(1, int(np.prod(values.shape[1:])) * values.dtype.itemsize)
        step = rows or max(1, BLOCK_BYTES // row_bytes)
        for start in range(0, len(values), step):
            yield values[start : start + step]

    def vector_spec(self, layer: str | int | None, pool: str) -> FeatureSpec:
        """Return the spec of a layer as `iter_vectors` gives it."""
        spec = self.spec(layer)
        if not self._is_map(spec):
            return spec
        shape, package = pooled_shape(spec.shape, pool), POOLINGS.package_of(pool)
        return replace(spec, pool=pool, shape=shape, package=package)

    def iter_vectors(self, layer: str | int | None, pool: str) -> Iterator[np.ndarray]:
        """Yield float32 blocks of a layer's rows in order, pooled if it was stored as maps."""
        applied = pool if self._is_map(self.spec(layer)) else "none"
        for block in self.iter_features(layer):
            yield pool_features(block, applied)

    def vectors(self, layer: str | int | None, pool: str, rows: np.ndarray) -> np.ndarray:
        """Read chosen rows of a layer as float32, pooled if it was stored as maps.

        Memory: the rows as stored, at most `BLOCK_BYTES` of them at a time, and the result.
        """
        spec = self.vector_spec(layer, pool)
        applied = pool if self._is_map(self.spec(layer)) else "none"
        values = self.features(layer)
        row_bytes = max(1, int(np.prod(values.shape[1:])) * values.dtype.itemsize)
        step = max(1, BLOCK_BYTES // row_bytes)
        out = np.empty((len(rows), *spec.shape), np.float32)
        for start in range(0, len(rows), step):
            out[start : start + step] = pool_features(values[rows[start : start + step]], applied)
        return out

    def table(
        self, layer: str | int | None = None, *, pool: str = DEFAULT_READ_POOLING
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
        start = 0
        for block in self.iter_vectors(layer, pool):
            values[start : start + len(block)] = block
            start += len(block)
        return FeatureTable(self.keys, values, self.labels, self.content_hash, spec, self.model)

    def _further(self, group: str) -> StoredColumns:
        """Return the further columns in a group: those of rows, or of copies."""
        found = self._texts(NAMES) if NAMES in self._file else ()
        if len(set(found)) < len(found):
            raise self._damaged(NAMES, "a name comes twice")

        def read(number: int) -> np.ndarray:
            try:
                return read_column(self._file, group, number, salvage=self._salvage)
            except READ_ERRORS as error:
                raise self._damaged(found[number], error) from error

        return StoredColumns(found, read)

    def _is_map(self, spec: FeatureSpec) -> bool:
        return spec.pool == "none" and len(spec.shape) > 1
