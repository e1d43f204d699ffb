"""Checking a store: what is damaged, and which rows that costs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from featx.errors import StoreDamaged, StoreError, StoreNotFound
from featx.events import Listener
from featx.objects.addresses import location_of, reveal
from featx.store.format import dataset_name
from featx.store.opening import is_damaged, open_part
from featx.store.parts import list_assembled, list_parts, parts_folder
from featx.store.reader import FeatureStore, open_store
from featx.store.salvage import SalvagedStore, damaged_rows
from featx.store.seal import read_seal
from featx.store.values import PartFiles
from featx.store.views import find_lost


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written.

    Attributes:
        file: The file concerned.
        problem: What is wrong with it.
        keys: The images whose rows are concerned; none if no row is.
    """

    file: str
    problem: str
    keys: tuple[str, ...] = ()


@dataclass(slots=True)
class Findings:
    """The state of a store.

    Attributes:
        store: The store, opened as far as possible; None if impossible.
        lost: bool (N,): rows that are damaged.
        damaged_parts: Part files that are damaged.
        damages: What is damaged, in words.
        files: Files that were read.
    """

    store: FeatureStore | None
    lost: np.ndarray
    damaged_parts: list[Path] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def add(self, file: Path, problem: str, rows: np.ndarray | None = None) -> None:
        """Record a damage and the rows that it costs."""
        keys: tuple[str, ...] = ()
        if rows is not None and self.store is not None and len(rows):
            self.lost[rows] = True
            names: Sequence[str] = [""] * len(self.lost)
            with contextlib.suppress(StoreDamaged):
                names = self.store.keys
            keys = tuple(names[row] or f"(row {row})" for row in rows.tolist())
        self.damages.append(Damage(location_of(file), reveal(problem), keys))


def check_store(path: Path, listener: Listener) -> Findings:
    """Check every byte of a store and its parts, and that its columns agree.

    Raises:
        StoreLocked: If another program has it, or a part of it, open for writing.
        StoreError: If it is not a store, or was written by an earlier featx.
    """
    seal = read_seal(path)
    if seal is not None and not is_damaged(path):
        store = open_store(path)
        found = Findings(store, np.zeros(len(store), bool), files=[path])
        _check_agreement(found, path)
        if store.part_files is not None:
            _check_parts(found, store.part_files, listener)
        return found
    if seal is not None and seal.kind == "view":
        found = Findings(None, np.zeros(0, bool), files=[path])
        found.add(path, "the view is not as it was written; the features are in its parts")
        for part in list_lost(parts_folder(path)):
            if is_damaged(part):
                found.add(part, "damaged: its rows are lost")
        return found
    try:
        salvaged = SalvagedStore(path)
    except StoreNotFound:
        raise
    except StoreError:
        if seal is None:
            raise  # Something else, or written by an earlier featx.
        found = Findings(None, np.zeros(0, bool), files=[path])
        found.add(path, "nothing of it can be read")
        return found
    found = Findings(salvaged, salvaged.lost.copy(), files=[path])
    rows = np.flatnonzero(salvaged.lost)
    problem = "damaged" if len(rows) else "damaged where no row is concerned"
    found.add(path, problem, rows)
    return found


def _check_agreement(found: Findings, path: Path) -> None:
    """Check what checksums cannot: that the columns agree."""
    assert found.store is not None
    store = found.store
    try:
        store.load_columns()
        keys = store.keys  # Checks them against the digest of the contents.
    except StoreDamaged as error:
        found.add(path, str(error), np.arange(len(found.lost)))
        return
    if len(set(keys)) != len(keys):
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        twice = [row for row, key in enumerate(keys) if first[key] != row]
        found.add(path, "a key has several rows", np.array(twice))


def _check_parts(found: Findings, parts: PartFiles, listener: Listener) -> None:
    """Check the part files of a view, whose own columns are intact."""
    assert found.store is not None
    row_map, store = parts.row_map, found.store
    listener.start(len(row_map.parts), "parts")
    for number, reference in enumerate(row_map.parts):
        listener.advance(1)
        path, rows = parts.path(number), np.flatnonzero(row_map.part == number)
        if not path.is_file():
            found.damaged_parts.append(path)
            found.add(path, "missing", rows)
            continue
        found.files.append(path)
        seal = read_seal(path)
        if seal is not None and seal.sha256 != reference.sha256:
            found.damaged_parts.append(path)
            found.add(path, "another file than the one recorded", rows)
            continue
        if not is_damaged(path):
            try:
                part = open_store(path)
            except StoreDamaged as error:
                found.damaged_parts.append(path)
                found.add(path, str(error), rows)
                continue
            wrong = (part.content_hash[row_map.row[rows]] != store.content_hash[rows]).any(axis=1)
            wrong |= part.fingerprint != store.fingerprint
            part.close()
            if wrong.any():
                found.damaged_parts.append(path)
                found.add(path, "rows of other images", rows[wrong])
            continue
        found.damaged_parts.append(path)
        try:
            with open_part(path, salvage=True) as file:
                bad = np.zeros(reference.num_rows, bool)
                for layer in range(len(store.layers)):
                    bad[damaged_rows(file[f"features/{dataset_name(layer)}"])] = True
        except (StoreError, OSError, KeyError, ValueError, RuntimeError, IndexError):
            bad = np.ones(reference.num_rows, bool)
        rows = rows[bad[row_map.row[rows]]]
        found.add(path, "damaged" if len(rows) else "damaged where no row is concerned", rows)
    listener.finish()


def list_lost(folder: Path) -> list[Path]:
    """Return the files in a parts folder, oldest first as far as they can be read."""
    try:
        return find_lost(folder)
    except StoreError:
        return [*list_assembled(folder), *list_parts(folder)]
