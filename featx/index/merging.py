"""`merge_indexes`: one index from those of several machines. Never imports TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.arguments import check_given_path, check_paths, plain_arguments
from featx.atomic import remove_file
from featx.errors import FeatxError, FingerprintMismatch, IndexFileError, InvalidValue
from featx.events import Listener, Verbose, choose_listener
from featx.files import is_same_file
from featx.index.building import choose_path, describe_index
from featx.index.container import Arrays, Writer, damaged
from featx.index.description import IndexDescription
from featx.index.files import description_path, is_index_file
from featx.index.kinds import IndexPart, SharedKind
from featx.index.making import Draft, Result, choose_vectors, measure, write_file
from featx.index.opening import open_description, open_index
from featx.index.projection import (
    PROJECTION_ARRAYS,
    Projection,
    read_projection,
    read_self_finder,
    self_sections,
)
from featx.index.row_finder import RowFinder
from featx.index.shared_training import SHARED_OPTIONS, hash_section, read_hashes, shared_kind
from featx.index.source import StoreVectors, draw_held_out
from featx.index.tuning import QUERIES, ExactNeighbours
from featx.index.vector_index import VectorIndex
from featx.specs import DEFAULT_READ_POOLING, identity_differences
from featx.store import FeatureStore, open_store
from featx.store.choice import require_rows
from featx.wording import command, option

STORE_SUFFIX = ".h5"


@plain_arguments(indexes=check_paths, output=check_given_path)
def merge_indexes(
    indexes: Sequence[str | Path],
    output: str | Path,
    *,
    features: str | Path | None = None,
    progress: bool | None = None,
    verbose: Verbose | None = None,
    listener: Listener | None = None,
) -> VectorIndex:
    """Make the index of a merged store from those of the stores that it was merged from.

    Codes are copied list by list, one index after the other, and are in memory some megabytes at a
    time. An image goes in with the vector that the merged store has: what no index holds so is
    computed from the store. Recall is measured again, and how far a search looks is tuned.

    Args:
        indexes: The indexes, filled by the same training, see `featx.train_index`.
        output: The index to write.
        features: The merged store; the output's name ending in ``.h5`` when None.
        progress: Whether to show a progress bar; in notebooks and on terminals when None.
        verbose: The same for notes.
        listener: Receives progress and notes, in place of these two.

    Returns:
        The index, written and ready to search. It answers as one that was filled by the same
        training from the merged store, up to the rounding of products of matrices (of kinds with
        transforms, and of components).

    Raises:
        StoreNotFound: If there is no such store.
        FingerprintMismatch: If an index is of another feature or kind, or compares in another way.
        IndexFileError: If one is missing, damaged or no index, was filled by another training, or
            has nothing that the store has.
        InvalidValue: If one is named twice, or is of a kind without lists.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos, model = write_images(9), toy_model()
        >>> for i in (1, 2):
        ...     _ = featx.extract(
        ...         photos, model=model, layers=["mean"], output=f"x{i}.h5", shard=(i, 2)
        ...     )
        >>> training = featx.train_index("x1.h5", train_for=9, kind="ivf")
        >>> for i in (1, 2):
        ...     _ = featx.build_index(f"x{i}.h5", trained_by=training.path)
        >>> _ = featx.merge_stores(["x1.h5", "x2.h5"], "x.h5")
        >>> len(merge_indexes(["x1.faiss", "x2.faiss"], "x.faiss"))
        9
    """
    listener = choose_listener(listener, progress=progress, verbose=verbose)
    paths = [Path(index) for index in indexes]
    _check_paths(paths)
    store_path = Path(output).with_suffix(STORE_SUFFIX) if features is None else Path(features)
    if features is None and not store_path.exists():
        raise IndexFileError(
            f"There is no store {str(store_path)!r} beside the index. Name the merged store with "
            f"{option('features')}."
        )
    target = choose_path(store_path, output)
    first = _First.open(paths[0])
    for path in paths[1:]:
        first.open_like(path)
    with open_store(store_path) as store:
        require_rows(store, IndexFileError)
        source = first.open_source(store, listener)
        asked = first.description.kind, first.description.options
        feature = store.vector_spec(source.layer, source.pool)
        description = describe_index(store, feature, target, asked)
        draft = Draft(source, description, target, listener)
        merge = _Merge(paths, first, draft, first.path)
        write_file(merge.draft, merge.write)
    remove_file(description_path(target))  # That of an older format.
    return open_index(target)


def _check_paths(paths: Sequence[Path]) -> None:
    if not paths:
        raise InvalidValue("Nothing to merge: name two indexes or more.")
    for number, path in enumerate(paths):
        if any(is_same_file(path, other) for other in paths[:number]):
            raise InvalidValue(f"{str(path)!r} is named twice.")
        if path.is_file() and not is_index_file(path):
            raise IndexFileError(
                f"Indexes are expected. Received: {str(path)!r}, which is none. Merge stores "
                "first, then their indexes."
            )


@dataclass(frozen=True, slots=True)
class _First:
    """The first index, which all others must be like.

    Attributes:
        path: The file.
        description: What it is.
        arrays: Its arrays.
        projection: What is done to vectors before they are compared.
        trained: uint64 (T,), hashes of vectors that it was trained on, as far as they are known.
    """

    path: Path
    description: IndexDescription
    arrays: Arrays
    projection: Projection
    trained: np.ndarray

    @classmethod
    def open(cls, path: Path) -> _First:
        """Open an index.

        Raises:
            IndexFileError: If it is missing or damaged.
            InvalidValue: If it is of a kind without lists.
        """
        description, arrays = open_description(path)
        shared_kind(description.kind, description.space)
        width = math.prod(description.feature.shape)
        try:
            projection = read_projection(arrays, description.options, width)
            return cls(path, description, arrays, projection, read_hashes(arrays))
        except (ValueError, KeyError) as error:
            raise damaged(path, error) from error

    @property
    def kind(self) -> SharedKind:
        """Its kind, which is known to have lists."""
        return shared_kind(self.description.kind, self.description.space)

    def open_like(self, path: Path) -> tuple[IndexDescription, Arrays]:
        """Open an index that is like this one.

        Raises:
            FingerprintMismatch: If it is of another feature or kind, or compares in another way.
            IndexFileError: If it was filled by another training.
        """
        description, arrays = open_description(path)
        kind, names = self.kind, (str(path), str(self.path))
        filled = f"Fill it by the same training: {command('index', trained_by='FILE')}."
        differences = identity_differences(_identity(self.description), _identity(description))
        if differences:
            subject = f"{names[0]!r} was made in another way than {names[1]!r}."
            raise FingerprintMismatch(subject, differences, remedy=filled)
        for name in (*kind.shared_arrays, *PROJECTION_ARRAYS):
            own, other = self.arrays.get(name), arrays.get(name)
            if own is None and other is None:
                continue
            if own is None or other is None or not np.array_equal(own.all(), other.all()):
                raise IndexFileError(
                    f"{names[0]!r} was filled by another training than {names[1]!r}. {filled}"
                )
        return description, arrays

    def open_source(self, store: FeatureStore, listener: Listener) -> StoreVectors:
        """Return the vectors of the merged store, as this index compares them.

        Raises:
            FingerprintMismatch: If it has other features.
        """
        feature = self.description.feature
        pool = DEFAULT_READ_POOLING if feature.pool == "none" else feature.pool
        if feature.name in store.layers:
            found = store.vector_spec(feature.name, pool).identity()
        else:
            found = feature.identity() | {"layer": ", ".join(store.layers)}
        expected = self.description.model.identity() | feature.identity()
        differences = identity_differences(expected, store.model.identity() | found)
        if differences:
            raise FingerprintMismatch(
                f"{str(self.path)!r} is of other features than {str(store.path)!r}.",
                differences,
                remedy=f"Name the merged store with {option('features')}.",
            )
        return StoreVectors(store, feature.name, pool, listener, self.projection)


def _identity(description: IndexDescription) -> dict[str, Any]:
    shared = {name: getattr(description.options, name) for name in SHARED_OPTIONS}
    features = description.model.identity() | description.feature.identity()
    return {**features, "kind": description.kind, **shared}


@dataclass(slots=True)
class _Merge:
    """A merge that goes on.

    Attributes:
        paths: The indexes.
        first: The first of them.
        draft: What is to be written.
        current: The index that is being read.
    """

    paths: Sequence[Path]
    first: _First
    draft: Draft
    current: Path

    def write(self, writer: Writer) -> Result:
        """Write the arrays of the kind."""
        draft, source = self.draft, self.draft.source
        trained = self.first.trained
        sample = draw_held_out(source, QUERIES, trained)
        queries = source.projection.project(sample.queries)
        truth = ExactNeighbours(sample.rows, queries, draft.space)
        for _ in truth.watch(source.blocks()):  # Which notes the hashes of vectors, too.
            pass
        finder = RowFinder(draft.description.content_hash, source.hashes)
        parts = self._iter_parts(finder)
        try:
            vectors = choose_vectors(draft)
            sections = self.first.kind.merge(self.first.arrays, parts, vectors, draft.space)
        except FeatxError:
            raise
        except (ValueError, KeyError) as error:
            raise damaged(self.current, error) from error
        if finder.num_missing:
            draft.listener.note(
                f"{finder.num_missing:,} of {draft.space.count:,} images are in none of the "
                "indexes as they are in the store: computed anew"
            )
        for section in (*sections, hash_section(trained), *self_sections(source.hashes)):
            writer.add(section)
        return measure(draft, writer.mapped(), truth)

    def _iter_parts(self, finder: RowFinder) -> Iterator[IndexPart]:
        """Open one index after the other, with the rows that they have in the merged one."""
        listener = self.draft.listener
        listener.start(len(self.paths), "indexes")
        try:
            for path in self.paths:
                self.current = path
                description, arrays = self.first.open_like(path)
                yield IndexPart(arrays, self._find_rows(description, arrays, finder))
                listener.advance(1)
        finally:
            listener.finish()

    def _find_rows(
        self, description: IndexDescription, arrays: Arrays, finder: RowFinder
    ) -> np.ndarray:
        read_self_finder(arrays, len(description.keys))  # Refuses what cannot be.
        hashes = np.empty(len(description.keys), np.uint64)
        hashes[arrays["vector_rows"].all()] = arrays["vector_hashes"].all()
        rows = finder.find(arrays["content_hash"].all(), hashes)
        if (rows < 0).all():
            raise IndexFileError(
                f"{str(self.current)!r} has nothing to add: {str(self.draft.source.store.path)!r} "
                "has none of its images with the same features, or another index has them, too."
            )
        return rows
