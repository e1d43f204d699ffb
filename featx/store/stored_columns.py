"""The columns of a store's rows: everything about images but their features."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from featx.files import HASH_BYTES
from featx.images.roots import Root
from featx.images.sources import ImageFailure
from featx.specs import ModelSpec, digest
from featx.store.column_datasets import COPIES, GROUP, NAMES, StoredColumns, read_column
from featx.store.format import READ_ERRORS, number_attribute, text_attribute
from featx.store.opened_file import OpenedFile
from featx.store.rows import ContentsDigest, PartReference, RowMap, Rows
from featx.store.values import PartFiles


class StoreColumns(OpenedFile):
    """An open store as far as it is no features: keys, labels, files, failures, parts.

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

    @property
    def class_numbers(self) -> np.ndarray:
        """int64 (N,): the position in `classes` of each label, -1 where there is none."""
        return self._numbered("labels", self.classes)

    @cached_property
    def labels(self) -> tuple[str | None, ...]:
        """N class names, None where there is none."""
        return self._named("labels", self.classes)

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """The names of splits that occur, in natural order."""
        return self._texts("split_names") if "splits" in self._file else ()

    @property
    def split_numbers(self) -> np.ndarray:
        """int64 (N,): the position in `split_names` of each split, -1 where there is none."""
        if "splits" not in self._file:
            return np.full(len(self), -1, np.int64)
        return self._numbered("splits", self.split_names)

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
