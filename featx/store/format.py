"""The store's format, version 1: what is written where. Parts and finished stores share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.errors import StoreDamaged, StoreError, StoreNotFound
from featx.images.reading import HASH_BYTES
from featx.images.sources import ImageFailure, natural_key
from featx.specs import FeatureSpec, ModelSpec, StorageType, digest
from featx.store.guarded_file import write_hdf5

FORMAT = "featx-store"
FORMAT_VERSION = 1

CHUNK_BYTES = 1 << 20
"""Aimed size of an HDF5 chunk. Chunks of about this size were within 10 % of the fastest,
both when written in sequence and when single rows are read."""

COLUMN_CHUNK = 4096
"""Rows in a chunk of keys, hashes, labels, sizes and times."""

_TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """What all rows of a store have in common.

    Attributes:
        model: The model that computed them.
        features: One spec for each tap, in the order of the datasets f000, f001, ...
        dtype: How values are stored.
        root: Absolute path of the folder that keys are relative to, when it was written.
        root_relative: The same relative to the store's folder; survives moving both.
        request: The command's arguments, to recognise the same command later.
        provenance: Versions and engine, for people.
    """

    model: ModelSpec
    features: tuple[FeatureSpec, ...]
    dtype: StorageType
    root: str
    root_relative: str
    request: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """Return the fields that every row must share, flat."""
        fields: dict[str, Any] = dict(self.model.identity())
        fields["layers"] = [spec.name for spec in self.features]
        for spec in self.features:
            fields[f"pool of {spec.name}"] = spec.pool
            fields[f"shape of {spec.name}"] = list(spec.shape)
        fields["dtype"] = self.dtype
        return fields

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the identity, in hexadecimal."""
        return digest(self.identity())

    @property
    def row_bytes(self) -> int:
        """Bytes of the features of one row."""
        values = sum(int(np.prod(spec.shape)) for spec in self.features)
        return values * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows: everything that belongs together, in one object.

    Attributes:
        keys: n keys.
        content_hash: uint8 (n, 16).
        labels: n class names, None where there is none.
        file_size: int64 (n,), bytes.
        file_mtime_ns: int64 (n,).
        features: For each tap an array of shape (n, *shape).
    """

    keys: Sequence[str]
    content_hash: np.ndarray
    labels: Sequence[str | None]
    file_size: np.ndarray
    file_mtime_ns: np.ndarray
    features: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        lengths = {len(self.keys), len(self.content_hash), len(self.labels), len(self.file_size)}
        lengths |= {len(self.file_mtime_ns), *(len(array) for array in self.features.values())}
        assert len(lengths) == 1, f"rows and keys parted: {lengths}"


def write_store(
    path: Path,
    header: StoreHeader,
    *,
    num_rows: int,
    classes: Iterable[str],
    blocks: Iterable[Rows],
    failures: Sequence[ImageFailure],
) -> None:
    """Write a whole store or part file from blocks of rows.

    Args:
        path: The file to create. Not atomic by itself; see `featx.atomic.replace_file`.
        header: What all rows share.
        num_rows: The total of rows in `blocks`.
        classes: Every label that occurs.
        blocks: The rows; one block is held in memory at a time.
        failures: The failure ledger.
    """
    ordered_classes = sorted(set(classes), key=natural_key)
    class_ids = {name: number for number, name in enumerate(ordered_classes)}
    contents = ContentsDigest(header.fingerprint)

    def fill(file: h5py.File, check: Callable[[], None]) -> None:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["fingerprint"] = header.fingerprint
        file.attrs["model"] = json.dumps(header.model.to_dict())
        file.attrs["dtype"] = header.dtype
        file.attrs["root"] = header.root
        file.attrs["root_relative"] = header.root_relative
        file.attrs["request"] = json.dumps(header.request)
        file.attrs["provenance"] = json.dumps(header.provenance)

        columns = _create_columns(file, num_rows)
        # A dataset, because HDF5 limits an attribute to 64 KiB: a few thousand classes.
        file.create_dataset("classes", data=_texts(ordered_classes), dtype=_TEXT)
        taps = _create_taps(file, header, num_rows)
        _write_failures(file, failures)

        start = 0
        for rows in blocks:
            end = start + len(rows.keys)
            columns["keys"][start:end] = _texts(rows.keys)
            columns["content_hash"][start:end] = rows.content_hash
            columns["labels"][start:end] = [
                -1 if label is None else class_ids[label] for label in rows.labels
            ]
            columns["file_size"][start:end] = rows.file_size
            columns["file_mtime_ns"][start:end] = rows.file_mtime_ns
            for name, dataset in taps.items():
                dataset[start:end] = rows.features[name]
            contents.update(rows.keys, rows.content_hash)
            check()
            start = end
        assert start == num_rows, f"{num_rows} rows were announced, {start} came"
        file.attrs["contents"] = contents.hexdigest()

    write_hdf5(path, fill)


def read_header(file: h5py.File, path: Path) -> StoreHeader:
    """Check that an open file is a store of this version, and read what its rows share.

    Raises:
        StoreDamaged: If it is something else, newer than this featx, or incomplete.
    """
    try:
        form, version = file.attrs.get("format"), file.attrs.get("format_version")
    except (KeyError, OSError, RuntimeError) as error:
        raise StoreDamaged(f"{str(path)!r} is damaged: {error}") from error
    if form != FORMAT:
        raise StoreDamaged(
            f"{str(path)!r} is an HDF5 file, but not a feature store "
            f"(its attribute 'format' is not {FORMAT!r})."
        )
    if version != FORMAT_VERSION:
        raise StoreDamaged(
            f"{str(path)!r} has format version {version}; this featx reads version "
            f"{FORMAT_VERSION}. Update featx: pip install -U featx."
        )
    try:
        datasets = [file["features"][dataset_name(i)] for i in range(len(file["features"]))]
        header = StoreHeader(
            model=ModelSpec.from_dict(json.loads(file.attrs["model"])),
            features=tuple(FeatureSpec.from_dict(json.loads(d.attrs["spec"])) for d in datasets),
            dtype=file.attrs["dtype"],
            root=file.attrs["root"],
            root_relative=file.attrs["root_relative"],
            request=json.loads(file.attrs["request"]),
            provenance=json.loads(file.attrs["provenance"]),
        )
        num_rows = len(file["keys"])
        columns = ["content_hash", "labels", "file_size", "file_mtime_ns"]
        lengths = {name: len(file[name]) for name in columns}
        for spec, dataset in zip(header.features, datasets, strict=True):
            lengths[spec.name] = len(dataset)
            if dataset.shape[1:] != spec.shape:
                raise ValueError(f"rows of {spec.name!r} have the shape {dataset.shape[1:]}")
        _ = (file["classes"], file.attrs["contents"])
        _ = [file["failures"][name] for name in ("key", "reason", "size", "mtime_ns")]
        intact = file.attrs["fingerprint"] == header.fingerprint
    except (LookupError, ValueError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise StoreDamaged(f"{str(path)!r} is a damaged feature store: {error}") from error
    wrong = {name: length for name, length in lengths.items() if length != num_rows}
    if wrong:
        raise StoreDamaged(
            f"{str(path)!r} is a damaged feature store: {num_rows} keys, but {wrong} rows."
        )
    if not intact:
        raise StoreDamaged(
            f"{str(path)!r} is a damaged feature store: its fingerprint does not belong to its "
            "model and features."
        )
    return header


def open_file(path: Path) -> h5py.File:
    """Open a store or part for reading, without HDF5's own file lock.

    A file that readers can see is never modified, only replaced, so that no lock is
    needed; and locks fail on many network file systems.

    Raises:
        StoreNotFound: If there is no such file.
        StoreDamaged: If it is not an HDF5 file.
    """
    if path.is_dir():
        raise StoreNotFound(f"{str(path)!r} is a folder. Name the feature store in it.")
    if not path.is_file():
        raise StoreNotFound(f"There is no feature store {str(path)!r}. `featx extract` makes one.")
    try:
        path.open("rb").close()  # What the system refuses (too many files, rights) is no damage.
    except OSError as error:
        raise StoreError(f"{str(path)!r} cannot be opened: {error.strerror}.") from error
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise StoreDamaged(
            f"{str(path)!r} cannot be opened as an HDF5 file: it is damaged, or no feature store "
            f"({error})."
        ) from error


def is_store(path: Path) -> bool:
    """Whether a file is a feature store, of whatever version and in whatever state."""
    try:
        with open_file(path) as file:
            return bool(file.attrs.get("format") == FORMAT)
    except (StoreError, OSError):
        return False


def dataset_name(number: int) -> str:
    """Return the name of a tap's dataset below /features (endpoint names may contain ``/``)."""
    return f"f{number:03d}"


def _create_columns(file: h5py.File, num_rows: int) -> dict[str, h5py.Dataset]:
    def column(name: str, dtype: Any, *shape: int) -> h5py.Dataset:
        # HDF5 has no checksums for text; `contents` is the keys' checksum.
        checked = dtype is not _TEXT
        return _create_rows(file, name, (num_rows, *shape), dtype, COLUMN_CHUNK, checked)

    return {
        "keys": column("keys", _TEXT),
        "content_hash": column("content_hash", np.uint8, HASH_BYTES),
        "labels": column("labels", np.int32),
        "file_size": column("file_size", np.int64),
        "file_mtime_ns": column("file_mtime_ns", np.int64),
    }


def _create_rows(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any, chunk_rows: int, checked: bool
) -> h5py.Dataset:
    if shape[0] == 0:  # Nothing to divide into chunks, and h5py refuses to try.
        return file.create_dataset(name, shape, dtype)
    chunks = (min(chunk_rows, shape[0]), *shape[1:])
    return file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=checked)


def _create_taps(file: h5py.File, header: StoreHeader, num_rows: int) -> dict[str, h5py.Dataset]:
    taps = {}
    for number, spec in enumerate(header.features):
        row_bytes = int(np.prod(spec.shape)) * np.dtype(header.dtype).itemsize
        rows = max(1, CHUNK_BYTES // max(1, row_bytes))
        name = f"features/{dataset_name(number)}"
        dataset = _create_rows(file, name, (num_rows, *spec.shape), header.dtype, rows, True)
        dataset.attrs["name"] = spec.name
        dataset.attrs["spec"] = json.dumps(spec.to_dict())
        dataset.attrs["fingerprint"] = spec.fingerprint(header.model)
        taps[spec.name] = dataset
    return taps


def _write_failures(file: h5py.File, failures: Sequence[ImageFailure]) -> None:
    group = file.create_group("failures")
    group.create_dataset("key", data=_texts([f.key for f in failures]), dtype=_TEXT)
    group.create_dataset("reason", data=_texts([f.reason for f in failures]), dtype=_TEXT)
    group.create_dataset("size", data=np.array([f.size for f in failures], np.int64))
    group.create_dataset("mtime_ns", data=np.array([f.mtime_ns for f in failures], np.int64))


def _texts(values: Sequence[str]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = [value.replace("\0", "\\0") for value in values]
    return array


class ContentsDigest:
    """SHA-256 over fingerprint, keys and content hashes: changes when any row does."""

    def __init__(self, fingerprint: str) -> None:
        self._sha = hashlib.sha256(fingerprint.encode())

    def update(self, keys: Sequence[str], content_hash: np.ndarray) -> None:
        """Take further rows."""
        for key, content in zip(keys, content_hash, strict=True):
            self._sha.update(key.encode() + b"\0" + content.tobytes())

    def hexdigest(self) -> str:
        """Return the digest of the rows taken so far."""
        return self._sha.hexdigest()
