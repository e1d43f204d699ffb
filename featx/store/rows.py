"""What a store consists of, in memory: its header, rows, and references to part files."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from featx.images.roots import Root
from featx.images.sources import ImageFailure
from featx.images.sources.columns import Columns
from featx.shown import Shown
from featx.specs import FeatureSpec, ModelSpec, StorageType, digest
from featx.store.columns import ColumnFormat

DEFAULT_SINGLE_FILE_LIMIT = 4_000_000_000
"""Above this many bytes, features stay in the part files, and the store refers to them.

Adding one image to a single file rewrites all of it. 4 GB take about as long as the work that a
kill may lose anyway (15 seconds, at 270 MB/s)."""


@dataclass(frozen=True, slots=True)
class StoreHeader:
    """What all rows of a store have in common.

    Attributes:
        model: The model that computed them.
        features: One spec for each layer, in the order of the datasets f000, f001, ...
        dtype: How values are stored.
        root: What keys are relative to, when the store was written.
        root_relative: See `Root.relative_to`: relative to the store's folder.
        request: The command's arguments, to recognise the same command.
        runs: One record for each run that computed rows: when, how many, how fast, versions.
        single_file_limit: See `DEFAULT_SINGLE_FILE_LIMIT`.
    """

    model: ModelSpec
    features: tuple[FeatureSpec, ...]
    dtype: StorageType
    root: Root
    root_relative: str
    request: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[Mapping[str, Any], ...] = ()
    single_file_limit: int = DEFAULT_SINGLE_FILE_LIMIT

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
    def precisions(self) -> tuple[str, ...]:
        """The recorded precisions in which rows were computed, oldest first."""
        runs = [run for run in self.runs if run.get("computed") and "precision" in run]
        return tuple(dict.fromkeys(str(run["precision"]) for run in runs))

    @property
    def quantized(self) -> tuple[str, ...]:
        """The 8-bit networks that rows were computed with, oldest first."""
        facts = [run.get("quantization", {}) for run in self.runs if run.get("computed")]
        return tuple(dict.fromkeys(str(one["network"]) for one in facts if "network" in one))

    @property
    def row_bytes(self) -> int:
        """Bytes of the features of one row."""
        values = sum(int(np.prod(spec.shape)) for spec in self.features)
        return values * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rows(Shown):
    """Consecutive rows, with everything that belongs to them; equal if the same object.

    Attributes:
        keys: n keys.
        content_hash: uint8 (n, 16).
        labels: n class names, None where there is none.
        file_size: int64 (n,), bytes.
        file_mtime_ns: int64 (n,).
        features: For each layer an array of shape (n, *shape); empty for rows that share the
            features of another row with the same content hash.
        splits: n names of splits, None where there is none; empty if no row has one.
        columns: Further columns of n values each, see `featx.images.sources.columns`.
    """

    keys: Sequence[str]
    content_hash: np.ndarray
    labels: Sequence[str | None]
    file_size: np.ndarray
    file_mtime_ns: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    splits: Sequence[str | None] = ()
    columns: Columns = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.splits:
            object.__setattr__(self, "splits", (None,) * len(self.keys))
        lengths = {len(self.keys), len(self.content_hash), len(self.labels), len(self.splits)}
        lengths |= {len(self.file_size), len(self.file_mtime_ns)}
        lengths |= {*(len(array) for array in self.features.values())}
        lengths |= {*(len(column) for column in self.columns.values())}
        assert len(lengths) == 1, f"rows and keys parted: {lengths}"

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Announced:
    """What must be known of rows before the first of them is written.

    Attributes:
        num_rows: How many they are.
        key_bytes: Length of the longest key in UTF-8.
        classes: Every label that occurs.
        splits: Every name of a split that occurs; where there is none, there is no such column.
        columns: How each further column is stored.
    """

    num_rows: int
    key_bytes: int
    classes: Collection[str] = ()
    splits: Collection[str] = ()
    columns: Mapping[str, ColumnFormat] = field(default_factory=dict)


def longest_key(keys: Iterable[str]) -> int:
    """Return the length of the longest key in bytes of UTF-8; at least 1."""
    return max((len(key.encode()) for key in keys), default=1)


@dataclass(frozen=True, slots=True)
class PartReference:
    """A part file as a view names it.

    Attributes:
        file: Its path relative to the view's folder, with ``/``.
        sha256: The hash in its seal; another file under that name is refused.
        num_rows: Its rows, used or not.
    """

    file: str
    sha256: str
    num_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class RowMap:
    """The part files of a view's rows; equal if the same object.

    Attributes:
        parts: The part files.
        part: int32 (N,), for each row a position in `parts`.
        row: int64 (N,), the row in that part.
    """

    parts: tuple[PartReference, ...]
    part: np.ndarray
    row: np.ndarray

    def runs(self) -> list[tuple[int, int, int, int]]:
        """Return ``(first row of the view, part, first row in it, count)`` of each run.

        Example:
            >>> rows = RowMap((), np.array([0, 0, 1]), np.array([4, 5, 6]))
            >>> rows.runs()
            [(0, 0, 4, 2), (2, 1, 6, 1)]
        """
        if not len(self.part):
            return []
        breaks = (np.diff(self.part) != 0) | (np.diff(self.row) != 1)
        starts = np.concatenate([[0], np.flatnonzero(breaks) + 1])
        ends = np.append(starts[1:], len(self.part))
        return [
            (int(start), int(self.part[start]), int(self.row[start]), int(end - start))
            for start, end in zip(starts, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What a store file holds besides its rows.

    Attributes:
        failures: The failure ledger.
        copies: Images that share the features of a row with the same content hash, here or in
            an older file. Only parts have them.
        missing: Keys whose image was gone at the last synchronisation.
        next_part: Number of the first part that this store has not taken in.
        row_map: The part file of each row, if the features are not in the file itself.
    """

    failures: Sequence[ImageFailure] = ()
    copies: Rows | None = None
    missing: frozenset[str] = frozenset()
    next_part: int = 0
    row_map: RowMap | None = None


_DIGESTED = 4096
"""Rows that are joined at a time to be hashed."""


class ContentsDigest:
    """SHA-256 over fingerprint, keys and content hashes: changes when any row does."""

    def __init__(self, fingerprint: str) -> None:
        self._sha = hashlib.sha256(fingerprint.encode())

    def update(self, keys: Sequence[str], content_hash: np.ndarray) -> None:
        """Add rows."""
        hashes = np.ascontiguousarray(content_hash).view(f"V{content_hash.shape[1]}")[:, 0]
        for start in range(0, max(len(keys), len(hashes)), _DIGESTED):
            part = slice(start, start + _DIGESTED)
            rows = zip(keys[part], hashes[part].tolist(), strict=True)
            self._sha.update(b"".join([key.encode() + b"\0" + content for key, content in rows]))

    def hexdigest(self) -> str:
        """Return the digest of the rows added so far."""
        return self._sha.hexdigest()
