"""`verify_index`: is an index as it was written, and that of its store?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.arguments import check_given_path, plain_arguments
from featx.errors import IndexFileError, StoreError
from featx.index.opening import open_index
from featx.index.projection import hash_rows, read_projection
from featx.index.shared_training import is_training, open_training
from featx.index.source import StoreVectors
from featx.index.vector_index import VectorIndex
from featx.shown import Shown
from featx.specs import DEFAULT_READ_POOLING
from featx.store import FeatureStore, open_store
from featx.wording import command

ROUNDING = 1e-6
"""How far a value of a vector of length 1 may be from that computed in another order."""


@dataclass(frozen=True, slots=True, repr=False)
class IndexReport(Shown):
    """The result of checking an index.

    Attributes:
        index: The index.
        rows: Its images; 0 of a training, see `featx.train_index`.
        num_bytes: Its size.
        store: The store that it was compared with; None if that is not here.
        problems: What is wrong; empty if nothing is.
    """

    index: str
    rows: int
    num_bytes: int
    store: str | None
    problems: tuple[str, ...]

    @property
    def is_intact(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return {"intact": self.is_intact} | asdict(self)


@plain_arguments(index=check_given_path)
def verify_index(index: str | Path) -> IndexReport:
    """Check every byte of an index, and that it holds what its store holds.

    Keys, labels and content hashes are compared, and the vector of each image: by its values, or
    by their hash where it is compressed.

    Args:
        index: The ``.faiss`` file.

    Returns:
        What was found. Damage is not an exception.

    Raises:
        IndexFileError: If there is no such index.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> _ = featx.extract(write_images(3), model=toy_model(), layers=["mean"], output="w.h5")
        >>> verify_index(featx.build_index("w.h5").path).is_intact
        True
    """
    path = Path(index)
    if not path.is_file():
        open_index(path)  # Says that there is none.
    rows, store = 0, None
    problems: list[str] = []
    try:
        if is_training(path):
            open_training(path).verify()
            return IndexReport(str(path), 0, path.stat().st_size, None, ())
        opened = open_index(path)
        rows = len(opened)
        opened.verify()
        store = opened.description.store.find(path.absolute().parent)
        if store is not None:
            with open_store(store) as source:
                problems += _compare(opened, source)
    except (IndexFileError, StoreError) as error:
        problems.append(str(error))
    return IndexReport(
        str(path),
        rows,
        path.stat().st_size,
        None if store is None else str(store),
        tuple(problems),
    )


def _compare(index: VectorIndex, store: FeatureStore) -> Iterator[str]:
    description = index.description
    if store.contents != description.store.contents:
        yield (
            f"{str(store.path)!r} has changed since the index was built: {command('search')} "
            "brings it up to date"
        )
        return
    columns = {
        "keys": tuple(description.keys) == store.keys,
        "labels": tuple(description.labels) == store.labels,
        "content hashes": np.array_equal(index.content_hash(), store.content_hash),
    }
    for name, same in columns.items():
        if not same:
            yield f"its {name} are not those of the store"
    if not all(columns.values()):
        return
    wrong = np.flatnonzero(~_compare_vectors(index, store))
    if len(wrong):
        yield (
            f"{len(wrong):,} of its vectors are not those of the store, the first that of "
            f"{description.keys[int(wrong[0])]!r}"
        )


def _compare_vectors(index: VectorIndex, store: FeatureStore) -> np.ndarray:
    """Return which vectors are those of the store, bool (N,)."""
    feature = index.description.feature
    pool = DEFAULT_READ_POOLING if feature.pool == "none" else feature.pool
    width = math.prod(feature.shape)
    projection = read_projection(index.arrays, index.description.options, width)
    source = StoreVectors(store, feature.name, pool, projection=projection)
    hashes = None if index.is_exact else index.vector_hashes()
    same: list[np.ndarray] = []
    start = 0
    for block in source.prepared():
        rows = np.arange(start, start + len(block))
        if hashes is not None:
            same.append(hash_rows(block) == hashes[rows])
        else:
            expected = source.projection.project(block)
            size = np.maximum(1, np.abs(expected).max(axis=1))
            worst = np.abs(index.vectors(rows) - expected).max(axis=1)
            same.append(worst <= ROUNDING * size)
        start += len(block)
    return np.concatenate(same)
