"""The contract of a kind of index; `featx.testing.contracts` shows how to run it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from featx.errors import IndexFileError
from featx.extraction import extract
from featx.index.building import build_index
from featx.index.kinds import INDEXES, VectorSearch, is_index_file
from featx.index.vector_index import normalize_rows, open_index
from featx.testing.images import write_images
from featx.testing.toy import toy_model

FULL_DISK = Path("/dev/full")
"""Where Linux has it: a file that takes nothing."""


class Blocks:
    """Normalised vectors in blocks, to be read as often as a kind needs.

    Example:
        >>> [len(block) for block in Blocks(np.ones((5, 2)), size=2)]
        [2, 2, 1]
    """

    def __init__(self, vectors: np.ndarray, size: int = 64) -> None:
        self.vectors = normalize_rows(vectors)
        self.size = size

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.vectors), self.size):
            yield self.vectors[start : start + self.size].copy()


def make_vectors(count: int = 300, width: int = 16) -> np.ndarray:
    """Return float32 (count, width) vectors of length 1.

    Example:
        >>> make_vectors(4).shape
        (4, 16)
    """
    random = np.random.default_rng(count)
    return normalize_rows(random.normal(size=(count, width)).astype(np.float32))


def build(kind: str, vectors: np.ndarray) -> VectorSearch:
    """Build an index of vectors that are in memory."""
    return INDEXES[kind].build(Blocks(vectors), vectors.shape)


class IndexContract:
    """Tests that take the name of a kind of index.

    Example::

        @pytest.mark.parametrize("kind", ["cells"])
        class TestIndexes(IndexContract):
            min_recall = 0.9

    Attributes:
        min_recall: Share of the 10 nearest neighbours that are found, at least. 1 for exact
            kinds: then scores are compared with NumPy's, up to ties.
    """

    min_recall = 1.0

    def test_neighbours(self, kind: str) -> None:
        """The nearest vectors are found, best first, with their cosines."""
        vectors, queries = make_vectors(), make_vectors(40)
        index = build(kind, vectors)
        assert index.shape == vectors.shape
        assert index.summary
        scores, rows = index.search(queries, 10)
        assert scores.shape == rows.shape == (40, 10)
        exact = queries @ vectors.T
        recalls = []
        for line, found_scores, found in zip(exact, scores, rows, strict=True):
            hits = found[found >= 0]
            assert len(set(hits.tolist())) == len(hits), "a row is found twice"
            np.testing.assert_allclose(found_scores[found >= 0], line[hits], atol=1e-5)
            assert (np.diff(found_scores[found >= 0]) <= 1e-6).all(), "not the best first"
            worst = np.sort(line)[-10] - 1e-6  # Of equal ones, any may be found.
            recalls.append((line[hits] >= worst).sum() / 10)
        assert np.mean(recalls) >= self.min_recall, f"recall {np.mean(recalls):.3f}"

    def test_a_vector_finds_itself(self, kind: str) -> None:
        """Each stored vector as a query has itself in the first place."""
        vectors = make_vectors()
        scores, rows = build(kind, vectors).search(vectors, 1)
        assert (rows[:, 0] == np.arange(len(vectors))).mean() >= self.min_recall
        np.testing.assert_allclose(scores[rows >= 0], 1, atol=1e-5)

    def test_all_are_ranked(self, kind: str) -> None:
        """As many matches may be asked for as there are vectors, and there may be one."""
        for count in (1, 2, 30):
            vectors = make_vectors(count)
            _, rows = build(kind, vectors).search(vectors[:1], count)
            found = rows[rows >= 0].tolist()
            assert len(found) == len(set(found)) >= max(1, int(self.min_recall * count))

    def test_zeros_and_equal_vectors(self, kind: str) -> None:
        """Vectors of zeros score 0 with all; equal vectors are different rows."""
        vectors = np.concatenate([np.zeros((2, 16), np.float32), np.tile(make_vectors(1), (5, 1))])
        index = build(kind, vectors)
        scores, rows = index.search(np.zeros((1, 16), np.float32), len(vectors))
        np.testing.assert_allclose(scores[rows >= 0], 0, atol=1e-6)
        _, rows = index.search(vectors[-1:], 5)
        assert len(set(rows[0].tolist())) == 5

    def test_vectors_come_back_as_they_were_put_in(self, kind: str) -> None:
        """Vectors are kept: a new index takes those of unchanged images from the old one."""
        vectors = make_vectors()
        index = build(kind, vectors)
        rows = np.array([299, 0, 7, 7])
        received = index.vectors(rows)
        assert received.dtype == np.float32
        np.testing.assert_allclose(received, vectors[rows], atol=1e-6)
        assert index.vectors(np.zeros(0, np.int64)).shape == (0, 16)

    def test_round_trip(self, kind: str, tmp_path: Path) -> None:
        """An index that is written and read finds the same, and its file is recognised."""
        vectors, path = make_vectors(), tmp_path / "a.faiss"
        index = build(kind, vectors)
        index.write(path)
        assert INDEXES[kind].recognizes(path)
        assert is_index_file(path)
        read = INDEXES[kind].read(path, vectors.shape)
        assert (read.shape, read.summary) == (index.shape, index.summary)
        for received, expected in zip(
            read.search(vectors[:9], 5), index.search(vectors[:9], 5), strict=True
        ):
            np.testing.assert_array_equal(received, expected)

    def test_damaged_files_are_refused(self, kind: str, tmp_path: Path) -> None:
        """Files that are cut off, empty, something else or of another shape are an error."""
        vectors, path = make_vectors(), tmp_path / "a.faiss"
        build(kind, vectors).write(path)
        content = path.read_bytes()
        shape = (len(vectors), vectors.shape[1])
        for damaged in (content[:-4], content[:20], b"", b"not an index", b"\0" * len(content)):
            path.write_bytes(damaged)
            assert _is_refused(kind, path, shape), f"{damaged[:12]!r}... was read"
        path.write_bytes(content)
        for other in ((shape[0] + 1, shape[1]), (shape[0], 2 * shape[1]), (2**40, shape[1])):
            assert _is_refused(kind, path, other), f"was read as {other}"
        path.write_text("not an index")
        assert not INDEXES[kind].recognizes(path)

    def test_a_full_disk_is_an_error(self, kind: str) -> None:
        """A write that fails raises OSError."""
        if FULL_DISK.exists():
            try:
                build(kind, make_vectors()).write(FULL_DISK)
            except OSError:
                return
            raise AssertionError("writing to a full disk reported success")

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
        assert len(build_index(store, kind=kind, previous=opened)) == 8


def _is_refused(kind: str, path: Path, shape: tuple[int, int]) -> bool:
    try:
        INDEXES[kind].read(path, shape)
    except IndexFileError:
        return True
    return False
