"""Parts without their features: what a store is made of without reading a row of features.

Workers write one beside each part that they put into an object store. It is a view of that part.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from featx.errors import StoreDamaged
from featx.store.columns import plan_columns
from featx.store.parts import COLUMNS_KIND, part_number
from featx.store.reader import FeatureStore, open_store
from featx.store.rows import Announced, PartReference, RowMap, Rows, StoreFacts, longest_key
from featx.store.seal import read_seal
from featx.store.writing import write_store


def columns_path(part: Path) -> Path:
    """Return the file with the columns of a part.

    Example:
        >>> columns_path(Path("features.h5.parts/part-000012.h5")).name
        'columns-000012.h5'
    """
    return part.with_name(f"{COLUMNS_KIND}-{part_number(part):06d}.h5")


def write_columns(part: Path, target: Path, name: str) -> None:
    """Write the columns of a part that has rows.

    Args:
        part: The part.
        target: The file to write. Not atomic by itself.
        name: The part as the store will name it, relative to the store's folder.
    """
    seal = read_seal(part)
    if seal is None:
        raise StoreDamaged(f"The part {str(part)!r} is damaged: it has no seal.")
    with contextlib.closing(FeatureStore(part)) as source:
        rows = Rows(
            keys=source.keys,
            content_hash=source.content_hash,
            labels=source.labels,
            file_size=source.file_size,
            file_mtime_ns=source.file_mtime_ns,
            splits=source.splits,
            columns=dict(source.columns),
        )
        copies = source.copies if len(source.copies) else None
        every = [rows] if copies is None else [rows, copies]
        numbers = np.zeros(len(rows), np.int32), np.arange(len(rows), dtype=np.int64)
        reference = PartReference(name, seal.sha256, len(rows))
        write_store(
            target,
            source.header,
            [rows],
            Announced(
                num_rows=len(rows),
                key_bytes=longest_key(key for each in every for key in each.keys),
                classes={label for each in every for label in each.labels if label is not None},
                splits={split for each in every for split in each.splits if split is not None},
                columns=plan_columns(each.columns for each in every),
            ),
            StoreFacts(
                failures=source.failures, copies=copies, row_map=RowMap((reference,), *numbers)
            ),
        )


class PartColumns(FeatureStore):
    """A part of which the columns are in memory; the part itself is opened for its features.

    Args:
        part: The part.
    """

    def __init__(self, part: Path) -> None:
        super().__init__(columns_path(part))
        self.load_columns()
        self.close()
        self.path = part
        # It names its part as the store does.
        folder = part.absolute().parent
        self._location = folder.with_name(folder.name.removesuffix(".parts"))


def open_columns(part: Path) -> FeatureStore:
    """Read a part's columns; its file is opened again when its features are read.

    Raises:
        StoreDamaged: If it cannot be read.
    """
    if columns_path(part).exists():
        return PartColumns(part)
    with contextlib.closing(open_store(part)) as opened:
        opened.load_columns()
    return opened
