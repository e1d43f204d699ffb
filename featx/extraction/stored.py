"""What a store and the parts beside it hold of each image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from featx.images.sources import ImageFailure, ImageItem
from featx.images.sources.columns import Columns, TableRow, is_same, value_at
from featx.store.columns import join_columns, select_rows
from featx.store.reader import FeatureStore
from featx.store.shifted import find_shifted_keys


class StoredImages:
    """What a store and the parts beside it hold of each image; of each key the newest.

    Args:
        sources: Open stores, oldest first.

    Attributes:
        ledger: The failures, by key.
        shifted: Keys whose features may be those of shifted pixels; see `featx.store.shifted`.
        columns: The further columns of all rows; see `values`.
    """

    def __init__(self, sources: Sequence[FeatureStore]) -> None:
        self.ledger: dict[str, ImageFailure] = {}
        self._row: dict[str, int] = {}
        # Columns rather than an object for each image: a million of them fit into 300 MB.
        columns: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._labels: list[str | None] = []
        self._splits: list[str | None] = []
        further: list[tuple[Columns, int]] = []
        count = 0
        with_copies = any(source.copies for source in sources)
        held: set[bytes] = set()
        for source in sources:
            for rows in (source, source.copies):
                columns.append((rows.content_hash, rows.file_size, rows.file_mtime_ns))
                self._labels.extend(rows.labels)
                self._splits.extend(rows.splits)
                further.append((rows.columns, len(rows)))
                for position, key in enumerate(rows.keys, start=count):
                    self._row[key] = position
                count += len(rows.keys)
                if self.ledger:
                    for key in rows.keys:
                        self.ledger.pop(key, None)
            if with_copies:
                held.update(map(bytes, source.content_hash))
                for key, content in zip(
                    source.copies.keys, map(bytes, source.copies.content_hash), strict=True
                ):
                    if content not in held:  # The row with its features was lost: it is read again.
                        del self._row[key]
            for failure in source.failures:
                if not failure.is_passing:
                    self._row.pop(failure.key, None)
                self.ledger[failure.key] = failure
        self.columns = join_columns(further)
        self.shifted = find_shifted_keys(sources) & self._row.keys()
        hashes, sizes, mtimes = zip(*columns, strict=True) if columns else ((), (), ())
        self._hashes = np.concatenate(hashes) if hashes else np.empty((0, 0), np.uint8)
        self._sizes = np.concatenate(sizes) if sizes else np.empty(0, np.int64)
        self._mtimes = np.concatenate(mtimes) if mtimes else np.empty(0, np.int64)

    def __contains__(self, key: object) -> bool:
        return key in self._row

    def __len__(self) -> int:
        return len(self._row)

    def select(self, keys: Iterable[str]) -> StoredImages:
        """Return what is stored of some images alone, without the ledger, to be sent elsewhere."""
        known = [key for key in keys if key in self._row]
        rows = [self._row[key] for key in known]
        chosen = StoredImages(())
        chosen._row = {key: number for number, key in enumerate(known)}
        chosen._labels = [self._labels[row] for row in rows]
        chosen._splits = [self._splits[row] for row in rows]
        chosen._hashes, chosen._sizes = self._hashes[rows], self._sizes[rows]
        chosen._mtimes = self._mtimes[rows]
        chosen.columns = select_rows(self.columns, np.array(rows, np.int64))
        chosen.shifted = self.shifted & chosen._row.keys()
        return chosen

    @property
    def keys(self) -> Iterable[str]:
        """Keys that have features."""
        return self._row.keys()

    def has_file(self, key: str, size: int, mtime_ns: int) -> bool:
        """Whether a key has features of a file of this size and time."""
        row = self._row.get(key)
        return (
            row is not None
            and self._mtimes.item(row) == mtime_ns
            and self._sizes.item(row) == size
            and mtime_ns != -1
        )

    def is_unchanged(self, item: ImageItem) -> bool:
        """Whether an image has features, and the same size and time as when they were computed.

        An image whose time is not known may have changed.
        """
        return item.mtime_ns != -1 and self.is_recorded(item) and not self.must_be_redone(item.key)

    def must_be_redone(self, key: str) -> bool:
        """Whether a key's features are in doubt and can be computed again here."""
        if key not in self.shifted:
            return False
        from featx.images.decoders import can_read_heif  # Imports Pillow, for few stores.

        return can_read_heif()

    def is_recorded(self, item: ImageItem) -> bool:
        """Whether what a row says of an image (size, time, label, ...) is true of the image.

        Columns of which a table does not say anything stay as they are.
        """
        row = self._row.get(item.key)
        return (
            row is not None
            and self._mtimes.item(row) == item.mtime_ns
            and self._sizes.item(row) == item.size
            and self._labels[row] == item.label
            and self._splits[row] == item.split
            and (item.row is None or self._has_values(row, item.row))
        )

    def _has_values(self, row: int, given: TableRow) -> bool:
        return all(
            is_same(value_at(self.columns[name], row) if name in self.columns else None, value)
            for name, value in given.values().items()
        )

    def values(self, key: str) -> dict[str, Any]:
        """Return what the further columns say of a key: name → value; empty if it has no row."""
        row = self._row.get(key)
        return {} if row is None else TableRow(self.columns, row).values()

    def content_hash(self, key: str) -> bytes | None:
        """Return the content hash under which a key has features; None if it has none."""
        row = self._row.get(key)
        return None if row is None else self._hashes[row].tobytes()

    def content_hashes(self) -> set[bytes]:
        """Return every content hash that has features that need not be computed again."""
        rows = [row for key, row in self._row.items() if not self.must_be_redone(key)]
        return set(map(bytes, self._hashes[rows]))

    def holds(self, key: str, content: bytes) -> bool:
        """Whether a key has features of this content that are not in doubt."""
        return self.content_hash(key) == content and not self.must_be_redone(key)

    def file_sizes(self) -> set[int]:
        """Return the sizes of all files that have features."""
        return set(self._sizes[list(self._row.values())].tolist())
