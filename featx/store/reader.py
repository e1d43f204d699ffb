"""Reading a feature store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from featx.errors import StoreDamaged, StoreNotFound, UnknownName, join_names
from featx.images.sources import ImageFailure
from featx.pooling import pool_features, pooled_shape
from featx.specs import DEFAULT_READ_POOLING, FeatureSpec, ModelSpec, Pooling
from featx.store.format import (
    ContentsDigest,
    StoreHeader,
    dataset_name,
    open_file,
    read_header,
)

BLOCK_BYTES = 32 << 20
"""Most bytes of one tap that are held in memory at a time while reading in sequence."""


_READ_ERRORS = (OSError, RuntimeError, KeyError, ValueError)
"""What h5py raises for damaged files: a wrong checksum, metadata that lead nowhere, no UTF-8."""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of one tap with their keys, in memory: what heads and indexes take.

    Attributes:
        keys: N keys.
        values: float32 (N, D).
        labels: N class names, None where there is none.
        content_hash: uint8 (N, 16): equal for identical files.
        spec: The feature, with the pooling that `values` have.
        model: The model that computed it.
    """

    keys: tuple[str, ...]
    values: np.ndarray
    labels: tuple[str | None, ...]
    content_hash: np.ndarray
    spec: FeatureSpec
    model: ModelSpec

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies model, input contract, tap and pooling."""
        return self.spec.fingerprint(self.model)


def open_store(path: str | Path) -> FeatureStore:
    """Open a feature store for reading.

    Args:
        path: The HDF5 file that `featx extract` wrote.

    Returns:
        The store; use it in a ``with`` statement, or call `close`.

    Raises:
        StoreNotFound: If there is no such file.
        StoreDamaged: If it is not a feature store, or not a whole one.

    Example:
        >>> open_store("no-such.h5")
        Traceback (most recent call last):
        ...
        featx.errors.StoreNotFound: There is no feature store 'no-such.h5'. ...
    """
    return FeatureStore(Path(path))


class FeatureStore:
    """An open feature store. Rows have the same order in every property.

    Attributes:
        path: The file.
        header: Model, features and root.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists() and list_parts(parts_folder(path)):
            raise StoreNotFound(
                f"{str(path)!r} is not finished: an extraction is running or was interrupted. What "
                f"it computed is kept in {str(parts_folder(path))!r}; the same command goes on."
            )
        self._open: h5py.File | None = open_file(path)
        try:
            self.header: StoreHeader = read_header(self._open, path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self._num_rows

    def close(self) -> None:
        """Close the file. It is opened again when something more is read from it."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def load_columns(self) -> None:
        """Read everything but the features into memory, so that the file can be closed."""
        _ = self.keys, self.labels, self.content_hash, self.failures
        _ = self.file_size, self.file_mtime_ns, self._num_rows

    @property
    def _file(self) -> h5py.File:
        if self._open is None:
            self._open = open_file(self.path)
        return self._open

    @cached_property
    def _num_rows(self) -> int:
        return len(self._file["keys"])

    @property
    def model(self) -> ModelSpec:
        """The model that computed the features."""
        return self.header.model

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the taps, in the order of computation."""
        return tuple(spec.name for spec in self.header.features)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of model, input contract, taps, pooling and storage type."""
        return self.header.fingerprint

    @property
    def contents(self) -> str:
        """SHA-256 over fingerprint, keys and content hashes: changes when any row does."""
        return str(self._file.attrs["contents"])

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """N keys: paths relative to the root, with ``/``."""
        keys = self._texts("keys")
        digest = ContentsDigest(self.fingerprint)
        digest.update(keys, self.content_hash)
        if digest.hexdigest() != self.contents:
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
        names = self.classes
        numbers = self._column("labels")
        if numbers.max(initial=-1) >= len(names):
            raise self._damaged("labels", "a number has no class")
        return tuple(names[number] if number >= 0 else None for number in numbers.tolist())

    @cached_property
    def file_size(self) -> np.ndarray:
        """int64 (N,): size of each file in bytes when it was read."""
        return self._column("file_size")

    @cached_property
    def file_mtime_ns(self) -> np.ndarray:
        """int64 (N,): modification time of each file when it was read."""
        return self._column("file_mtime_ns")

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
    def root(self) -> Path:
        """The folder that keys are relative to, also after it was moved with the store.

        Of the place relative to the store and the absolute one as recorded, the first that
        holds the first image; if neither does, the relative one.
        """
        relative = Path(os.path.normpath(self.path.absolute().parent / self.header.root_relative))
        first = self._texts("keys", slice(0, 1))
        for candidate in (relative, Path(self.header.root)):
            if first and (candidate / first[0]).exists():
                return candidate
        return relative if relative.exists() else Path(self.header.root)

    def spec(self, tap: str | None = None) -> FeatureSpec:
        """Return the spec of a tap; of the deepest one when none is named.

        Raises:
            UnknownName: If the store has no such tap.
        """
        if tap is None:
            return self.header.features[-1]
        for spec in self.header.features:
            if spec.name == tap:
                return spec
        raise UnknownName(
            "layer in the store", tap, self.taps, remedy=f"It has {join_names(self.taps)}."
        )

    def features(self, tap: str | None = None) -> h5py.Dataset:
        """Return a tap's dataset, (N, *shape); slice it to read rows from the disk."""
        number = self.header.features.index(self.spec(tap))
        return self._file[f"features/{dataset_name(number)}"]

    def iter_features(
        self, tap: str | None = None, rows: int | None = None
    ) -> Iterator[np.ndarray]:
        """Yield a tap's rows in order, in blocks of bounded size, as stored."""
        dataset = self.features(tap)
        row_bytes = max(1, int(np.prod(dataset.shape[1:])) * dataset.dtype.itemsize)
        step = rows or max(1, BLOCK_BYTES // row_bytes)
        for start in range(0, len(dataset), step):
            yield self._read(dataset, slice(start, start + step))

    def vector_spec(self, tap: str | None, pooling: Pooling) -> FeatureSpec:
        """Return the spec of a tap as `iter_vectors` gives it."""
        spec = self.spec(tap)
        applied = pooling if self._is_map(spec) else spec.pool
        shape = pooled_shape(spec.shape, pooling) if self._is_map(spec) else spec.shape
        return replace(spec, pool=applied, shape=shape)

    def iter_vectors(self, tap: str | None, pooling: Pooling) -> Iterator[np.ndarray]:
        """Yield float32 blocks of a tap's rows in order, pooled where it was stored as maps."""
        applied = pooling if self._is_map(self.spec(tap)) else "none"
        for block in self.iter_features(tap):
            yield pool_features(block, applied)

    def table(
        self, tap: str | None = None, *, pooling: Pooling = DEFAULT_READ_POOLING
    ) -> FeatureTable:
        """Read one tap as vectors, pooled where it was stored as maps.

        Args:
            tap: The tap; the deepest one when None.
            pooling: Applied to taps that were stored with ``none``. Vectors stay as they are.

        Returns:
            All rows. Memory: N x D float32, plus one block of maps.
        """
        spec = self.vector_spec(tap, pooling)
        values = np.empty((len(self), *spec.shape), np.float32)
        start = 0
        for block in self.iter_vectors(tap, pooling):
            values[start : start + len(block)] = block
            start += len(block)
        return FeatureTable(self.keys, values, self.labels, self.content_hash, spec, self.model)

    def _is_map(self, spec: FeatureSpec) -> bool:
        return spec.pool == "none" and len(spec.shape) > 1

    def read_rows(self, tap: str, rows: Sequence[int] | slice) -> np.ndarray:
        """Read chosen rows of a tap, in increasing order, as stored."""
        return self._read(self.features(tap), rows)

    def _read(self, dataset: h5py.Dataset, rows: Sequence[int] | slice) -> np.ndarray:
        try:
            return np.asarray(dataset[rows])
        except _READ_ERRORS as error:  # A chunk whose checksum is wrong.
            raise self._damaged(dataset.attrs["name"], error) from error

    def _column(self, name: str) -> np.ndarray:
        try:
            return np.asarray(self._file[name][:])
        except _READ_ERRORS as error:
            raise self._damaged(name, error) from error

    def _texts(self, name: str, rows: slice = slice(None)) -> tuple[str, ...]:
        try:
            return tuple(self._file[name].asstr()[rows])
        except _READ_ERRORS as error:
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, reason: object) -> StoreDamaged:
        return StoreDamaged(
            f"{str(self.path)!r} is damaged: rows of {name!r} cannot be read ({reason}). "
            "Extract again with --overwrite."
        )


def parts_folder(path: Path) -> Path:
    """Return the folder beside a store where an extraction keeps its finished parts."""
    return path.with_name(f"{path.name}.parts")


def list_parts(folder: Path) -> list[Path]:
    """Return the finished parts in a parts folder, oldest first."""
    return sorted(folder.glob("part-[0-9]*.h5"))
