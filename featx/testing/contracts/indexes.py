"""The contract of a kind of index; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from featx.errors import IndexFileError
from featx.extraction import extract
from featx.index.building import build_index
from featx.index.container import Arrays, Container, Writer, open_container
from featx.index.kinds import INDEXES, Space, Vectors, VectorSearch
from featx.index.opening import open_index
from featx.index.projection import normalize_rows
from featx.testing.images import write_images
from featx.testing.toy import toy_model

BLOCK_ROWS = 64


def make_vectors(count: int = 300, width: int = 16) -> np.ndarray:
    """Return float32 (count, width) vectors of length 1.

    Example:
        >>> make_vectors(4).shape
        (4, 16)
    """
    random = np.random.default_rng(count)
    return normalize_rows(random.normal(size=(count, width)).astype(np.float32))


def space_of(vectors: np.ndarray, metric: Literal["ip", "l2"] = "ip") -> Space:
    """Return the space of vectors that are in memory."""
    return Space(len(vectors), vectors.shape[1], metric)


def as_source(vectors: np.ndarray, folder: Path) -> Vectors:
    """Return vectors in memory as a kind gets them, in blocks; it is trained on all of them.

    Example:
        >>> source = as_source(np.ones((100, 2), np.float32), Path())
        >>> [len(block) for block in source.read()]
        [64, 36]
    """

    def read() -> Iterator[np.ndarray]:
        for start in range(0, len(vectors), BLOCK_ROWS):
            yield vectors[start : start + BLOCK_ROWS].copy()

    return Vectors(read, lambda rows: vectors[rows], vectors, folder)


def write(kind: str, vectors: np.ndarray, path: Path, space: Space | None = None) -> Container:
    """Write an index of vectors that are in memory, without keys."""
    with path.open("w+b") as file:
        writer = Writer(file, path)
        for section in INDEXES[kind].build(
            as_source(vectors, path.parent), space or space_of(vectors)
        ):
            writer.add(section)
        writer.finish({})
    return open_container(path)


def open_fully(kind: str, container: Container, space: Space) -> VectorSearch:
    """Open an index so that it looks as far as it can."""
    search = INDEXES[kind].open(container.arrays, space)
    efforts = search.efforts()
    return search.with_parameters(efforts[-1].parameters) if efforts else search


def build(kind: str, vectors: np.ndarray, folder: Path) -> VectorSearch:
    """Build an index of vectors that are in memory, and open it."""
    return open_fully(kind, write(kind, vectors, folder / "a.faiss"), space_of(vectors))


class IndexContract:
    """Tests that take the name of a kind of index.

    Example::

        @pytest.mark.parametrize("kind", ["cells"])
        class TestIndexes(IndexContract):
            min_recall = 0.9
            tolerance = 0.01

    Attributes:
        min_recall: Share of the 10 nearest neighbours that are found at the utmost effort, at
            least. 1 for exact kinds: then scores are compared with NumPy's, up to ties.
        tolerance: How far scores, and values of vectors, may be from the exact ones.
    """

    min_recall = 1.0
    tolerance = 1e-5

    @pytest.mark.parametrize("metric", ["ip", "l2"])
    def test_neighbours(self, kind: str, metric: Literal["ip", "l2"], tmp_path: Path) -> None:
        """The nearest vectors are found, best first, with their scores."""
        vectors, queries = make_vectors(), make_vectors(40)
        space = space_of(vectors, metric)
        index = open_fully(kind, write(kind, vectors, tmp_path / "a.faiss", space), space)
        assert index.summary
        scores, rows = index.search(queries, 10)
        assert scores.shape == rows.shape == (40, 10)
        exact = queries @ vectors.T
        if metric == "l2":
            exact = -((queries[:, None] - vectors) ** 2).sum(axis=2)
        recalls = []
        for line, found_scores, found in zip(exact, scores, rows, strict=True):
            hits = found[found >= 0]
            assert len(set(hits.tolist())) == len(hits), "a row is found twice"
            np.testing.assert_allclose(
                found_scores[found >= 0], line[hits], atol=4 * self.tolerance
            )
            assert (np.diff(found_scores[found >= 0]) <= 1e-6).all(), "not the best first"
            worst = np.sort(line)[-10] - 1e-6  # Of equal ones, any may be found.
            recalls.append((line[hits] >= worst).sum() / 10)
        assert np.mean(recalls) >= self.min_recall, f"recall {np.mean(recalls):.3f}"

    def test_effort(self, kind: str, tmp_path: Path) -> None:
        """More effort finds more, and every effort can be told by its parameters."""
        vectors = make_vectors()
        container = write(kind, vectors, tmp_path / "a.faiss")
        search = INDEXES[kind].open(container.arrays, space_of(vectors))
        efforts = search.efforts()
        assert bool(efforts) != INDEXES[kind].is_exact
        assert [effort.cost for effort in efforts] == sorted(effort.cost for effort in efforts)
        for effort in [*efforts[:1], *efforts[-1:]]:
            changed = search.with_parameters(effort.parameters)
            assert changed.parameters.items() >= effort.parameters.items()

    def test_a_vector_finds_itself(self, kind: str, tmp_path: Path) -> None:
        """Each stored vector as a query has itself in the first place."""
        vectors = make_vectors()
        scores, rows = build(kind, vectors, tmp_path).search(vectors, 1)
        assert (rows[:, 0] == np.arange(len(vectors))).mean() >= self.min_recall
        np.testing.assert_allclose(scores[rows >= 0], 1, atol=4 * self.tolerance)

    def test_all_are_ranked(self, kind: str, tmp_path: Path) -> None:
        """As many matches may be asked for as there are vectors, and there may be one."""
        for count in (1, 2, 30):
            vectors = make_vectors(count)
            _, rows = build(kind, vectors, tmp_path).search(vectors[:1], count)
            found = rows[rows >= 0].tolist()
            assert len(found) == len(set(found)) >= max(1, int(self.min_recall * count))

    def test_only_allowed_rows_are_found(self, kind: str, tmp_path: Path) -> None:
        """A choice of rows is searched as if there were no others."""
        vectors = make_vectors()
        index = build(kind, vectors, tmp_path)
        allowed = np.arange(len(vectors)) % 3 == 1
        _, rows = index.search(vectors[:20], 10, allowed)
        assert allowed[rows[rows >= 0]].all()
        exact = np.where(allowed, vectors[:20] @ vectors.T, -2)
        best = np.argsort(-exact, axis=1)[:, :10]
        hits = [
            len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), best.tolist(), strict=True)
        ]
        assert np.mean(hits) >= self.min_recall
        _, rows = index.search(vectors[:2], 5, np.arange(len(vectors)) == 7)
        assert rows[:, 0].tolist() == [7, 7]
        assert (rows[:, 1:] == -1).all()
        assert (index.search(vectors[:2], 5, np.zeros(len(vectors), np.bool_))[1] == -1).all()

    def test_zeros_and_equal_vectors(self, kind: str, tmp_path: Path) -> None:
        """Vectors of zeros score 0 with all; equal vectors are different rows."""
        vectors = np.concatenate([np.zeros((2, 16), np.float32), np.tile(make_vectors(1), (5, 1))])
        index = build(kind, vectors, tmp_path)
        scores, rows = index.search(np.zeros((1, 16), np.float32), len(vectors))
        np.testing.assert_allclose(scores[rows >= 0], 0, atol=self.tolerance)
        _, rows = index.search(vectors[-1:], 5)
        assert len(set(rows[0].tolist())) == 5

    def test_vectors_come_back(self, kind: str, tmp_path: Path) -> None:
        """Vectors are kept: those of an exact kind as they were put in."""
        vectors = make_vectors()
        index = build(kind, vectors, tmp_path)
        rows = np.array([299, 0, 7, 7])
        received = index.vectors(rows)
        assert received.dtype == np.float32
        assert np.abs(received - vectors[rows]).mean() <= self.tolerance
        assert index.vectors(np.zeros(0, np.int64)).shape == (0, 16)

    def test_arrays_that_cannot_be_are_refused(self, kind: str, tmp_path: Path) -> None:
        """Arrays of another number or width of vectors, or that are missing, are an error."""
        vectors = make_vectors()
        arrays = write(kind, vectors, tmp_path / "a.faiss").arrays
        count, width = vectors.shape
        for other in (Space(count + 1, width), Space(count, 2 * width), Space(2**40, width)):
            assert _is_refused(kind, arrays, other), f"was read as {other}"
        for name in arrays:
            others = {key: array for key, array in arrays.items() if key != name}
            if name != "header":  # Of a file that FAISS alone reads.
                assert _is_refused(kind, others, space_of(vectors)), f"was read without {name}"

    def test_damage_is_found(self, kind: str, tmp_path: Path) -> None:
        """A byte that was changed is found by the time that a search has read it."""
        vectors, path = make_vectors(), tmp_path / "a.faiss"
        container = write(kind, vectors, path)
        content = path.read_bytes()
        largest = max(container.arrays.values(), key=lambda array: array.place.num_bytes)
        for place in (0, largest.place.num_bytes - 1):
            damaged = bytearray(content)
            damaged[largest.place.offset + place] ^= 1
            path.unlink()
            path.write_bytes(damaged)
            try:
                index = open_fully(kind, open_container(path), space_of(vectors))
                index.search(vectors, len(vectors))
            except IndexFileError:
                continue
            raise AssertionError(f"byte {place} of {largest.name!r} was changed and not noticed")

    def test_changes(self, kind: str, tmp_path: Path) -> None:
        """What was added, removed and moved is taken over, if the kind can do that."""
        old, new = make_vectors(), make_vectors(310)
        if INDEXES[kind].is_exact:
            return
        old_rows = np.full(310, -1)
        old_rows[10:300] = np.arange(299, 9, -1)  # 10 are gone, 20 are new, all have moved.
        new[10:300] = old[old_rows[10:300]]
        arrays = write(kind, old, tmp_path / "a.faiss").arrays
        source, space = as_source(new, tmp_path), space_of(new)
        update = INDEXES[kind].update(arrays, source, space, old_rows)
        if update is None:
            return
        path = tmp_path / "b.faiss"
        with path.open("w+b") as file:
            writer = Writer(file, path)
            for section in update.sections:
                writer.add(section)
            writer.finish({})
        index = open_fully(kind, open_container(path), space)
        _, rows = index.search(new, 1)
        assert (rows[:, 0] == np.arange(310)).mean() >= self.min_recall
        assert np.abs(index.vectors(np.arange(310)) - new).mean() <= self.tolerance

    def test_with_a_store(self, kind: str, tmp_path: Path) -> None:
        """The kind is recorded, opened again, and kept when images are added."""
        images, store = write_images(6, tmp_path / "photos"), tmp_path / "features.h5"
        model = toy_model()
        extract(images, model=model, layers=["mean"], output=store)
        built = build_index(store, kind=kind)
        opened = open_index(tmp_path / "features.faiss")
        assert opened.description.kind == kind
        key = opened.description.keys[3]
        assert len(opened.search_key(key, 100)) == len(built.search_key(key, 100)) == 5
        write_images(8, images)
        extract(images, model=model, layers=["mean"], output=store)
        again = build_index(store, kind=kind, previous=opened)
        assert len(again) == 8
        assert len(again.search_key(key, 100)) == 7


def _is_refused(kind: str, arrays: Arrays, space: Space) -> bool:
    try:
        INDEXES[kind].open(arrays, space)
    except (ValueError, KeyError, TypeError):
        return True
    return False
