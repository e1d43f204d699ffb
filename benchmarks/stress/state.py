"""The state of a folder: what is committed there, whether it is true, and what is left over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stress.pictures import LAYERS, is_true
from featx.errors import StoreDamaged, StoreError
from featx.index.opening import open_index
from featx.store import FeatureStore, open_store
from featx.store.parts import list_assembled, list_parts, parts_folder
from featx.store.seal import is_seal_broken
from featx.store.views import referenced_parts


@dataclass
class Committed:
    """What is committed in a folder.

    Attributes:
        rows: Key and content hash of every row that can be read, of stores and parts.
        failures: Key, size and time of every entry of a ledger.
        problems: What is false or half there.
    """

    rows: set[tuple[str, bytes]] = field(default_factory=set)
    failures: set[tuple[str, int, int]] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


@dataclass
class Finished:
    """Everything that a folder holds when the work is done.

    Attributes:
        stores: For each store its rows in order, with every byte of every layer, and its ledger.
        indexes: For each index its keys, labels and vectors.
        files: Paths of all files and folders but the parts that a store refers to.
    """

    stores: dict[str, list[Any]]
    indexes: dict[str, Any]
    files: set[str]

    def differences(self, other: Finished) -> list[str]:
        """Say what is different in another one."""
        found = []
        for name, rows in self.stores.items():
            received = other.stores.get(name)
            if received != rows:
                found.append(f"{name} differs: {_first_difference(rows, received)}")
        if other.indexes != self.indexes:
            found.append(f"the index differs: {other.indexes.keys()}")
        if other.files - self.files:
            found.append(f"left over: {_mask(sorted(other.files - self.files))}")
        if self.files - other.files:
            found.append(f"not there: {sorted(self.files - other.files)}")
        return found

    def rows(self) -> dict[str, bytes]:
        """Return key → content hash of all stores."""
        return {row[0]: row[4] for rows in self.stores.values() for row in rows[:-1]}

    def failures(self) -> set[tuple[str, int, int]]:
        """Return key, size and time of all ledgers."""
        return {(f.key, f.size, f.mtime_ns) for rows in self.stores.values() for f in rows[-1][1:]}


def stores_in(folder: Path) -> list[Path]:
    """Return the stores in a folder."""
    return sorted(folder.glob("*.h5"))


def read_rows(path: Path) -> list[Any]:
    """Everything that a store holds of its rows, in order, and its ledger at the end."""
    with open_store(path) as store:
        layers = [store.features(layer)[:] for layer in LAYERS]
        columns = [store.keys, store.labels, store.file_size.tolist(), store.file_mtime_ns.tolist()]
        rows: list[Any] = [
            (
                *(column[row] for column in columns),
                store.content_hash[row].tobytes(),
                bool(store.missing[row]),
                *(values[row].tobytes() for values in layers),
            )
            for row in range(len(store))
        ]
        failures = sorted(store.failures, key=lambda failure: failure.key)
        return [*rows, ("failures", *failures)]


def read_finished(folder: Path) -> Finished:
    """Read a folder where the work is done.

    Raises:
        StoreError: If a store cannot be read.
        IndexFileError: If an index cannot be read.
    """
    referenced = set()
    for path in stores_in(folder):
        with open_store(path) as store:
            referenced |= {os.path.normpath(part) for part in referenced_parts(store)}
    return Finished(
        {path.name: read_rows(path) for path in stores_in(folder)},
        {path.name: read_index(path) for path in sorted(folder.glob("*.faiss"))},
        {str(p.relative_to(folder)) for p in folder.rglob("*") if str(p) not in referenced},
    )


def read_index(path: Path) -> Any:
    """Return keys, labels, contents and vectors of an index.

    Raises:
        IndexFileError: If it cannot be read.
    """
    index = open_index(path)
    vectors = [row.tobytes() for row in index.vectors(np.arange(len(index)))]
    description = index.description
    return (description.keys, description.labels, description.store.contents, vectors)


def read_committed(folder: Path, *, damaged: bool = False) -> Committed:
    """Read all stores and finished parts of a folder, and compare every value with the truth.

    Args:
        folder: The folder.
        damaged: Whether some rows are known to be damaged; these count as not there.
    """
    found = Committed()
    held: set[bytes] = set()
    copies: list[tuple[str, bytes]] = []
    for path in _committed_files(folder):
        try:
            if path.parent != folder and not damaged and is_seal_broken(path):
                found.problems.append(f"{path.name} is half there")
                continue
            with open_store(path) as store:
                for key, content, values in _readable(store, damaged):
                    found.rows.add((key, content))
                    held.add(content)
                    for layer, value in values.items():
                        if not is_true(content, layer, value):
                            found.problems.append(f"{path.name} has a false {layer} of {key}")
                contents = map(bytes, store.copies.content_hash)
                copies += zip(store.copies.keys, contents, strict=True)
                found.failures |= {(f.key, f.size, f.mtime_ns) for f in store.failures}
        except (StoreError, OSError) as error:
            if not damaged:
                found.problems.append(f"{path.name} cannot be read: {error}")
    # An image identical to another one is committed when the features of either are.
    found.rows |= {(key, content) for key, content in copies if content in held}
    return found


def losses(before: Committed, after: Committed, end: Finished) -> list[str]:
    """Return what was committed before, is not now, and should be.

    A row may go when the finished store has none under its key, or one of newer content that
    is committed by now.
    """
    wanted = end.rows()
    lost = [
        f"the row of {key} is lost"
        for key, content in before.rows - after.rows
        if key in wanted and (wanted[key] == content or (key, wanted[key]) not in after.rows)
    ]
    gone = (before.failures - after.failures) & end.failures()
    return lost + [f"the failure of {key} is lost" for key, *_ in gone]


def _committed_files(folder: Path) -> list[Path]:
    """Return all stores and finished parts, whether or not their store is there."""
    folders = {parts_folder(path) for path in stores_in(folder)} | set(folder.glob("*.parts"))
    parts = [[*list_assembled(folder), *list_parts(folder)] for folder in sorted(folders)]
    return [*stores_in(folder), *(path for some in parts for path in some)]


def _readable(
    store: FeatureStore, damaged: bool
) -> Iterator[tuple[str, bytes, dict[str, np.ndarray]]]:
    contents = store.content_hash
    try:
        whole = {layer: store.features(layer)[:] for layer in LAYERS}
    except StoreDamaged:
        if not damaged:
            raise
        whole = {}
    for row, key in enumerate(store.keys):
        try:
            values = {
                layer: (whole or {layer: store.features(layer)})[layer][row] for layer in LAYERS
            }
        except StoreDamaged:
            continue
        yield key, contents[row].tobytes(), values


def _first_difference(expected: list[Any], received: list[Any] | None) -> str:
    if received is None:
        return "it is not there"
    for row, (left, right) in enumerate(zip(expected, received, strict=False)):
        if left != right:
            return f"row {row}: expected {left[:4]}, received {right[:4]}"
    return f"{len(expected) - 1} rows expected, {len(received) - 1} received"


def _mask(paths: list[str]) -> list[str]:
    """Replace process numbers in names of temporary files, so that equal findings look equal."""
    return [
        ".".join("PID" if word.isdigit() else word for word in path.split(".")) for path in paths
    ]
