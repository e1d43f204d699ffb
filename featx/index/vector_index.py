"""A vector index with the keys and the identity of what is in it.

On the disk it is two files: ``features.faiss``, which the kind of index writes (``flat`` in FAISS's
own format, readable with FAISS alone: row i belongs to the i-th key), and ``features.faiss.json``
with keys, labels, model, feature and the state of the store that it was built from.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featx.arguments import check_given_path, plain_arguments
from featx.atomic import replace_file
from featx.checks import check_numbers
from featx.errors import DimensionMismatch, IndexFileError, InvalidValue, UnknownName
from featx.files import hash_file
from featx.images.reading import HASH_BYTES
from featx.images.roots import Root, is_url
from featx.index.description import IndexDescription, description_path, read_description
from featx.index.kinds import INDEXES, VectorSearch
from featx.sealed_json import seal
from featx.shown import Shown
from featx.specs import DEFAULT_K
from featx.wording import command

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SCORE_ROUNDING = 1e-6
"""How far float32 may leave the cosine of two equal vectors from 1."""


@dataclass(frozen=True, slots=True, repr=False)
class Match(Shown):
    """One answer to a query.

    Attributes:
        rank: 1 for the best.
        key: The image's key in the store.
        path: The image.
        score: Cosine similarity, in [-1, 1].
        label: Its class, or None.
    """

    rank: int
    key: str
    path: str
    score: float
    label: str | None

    @property
    def is_at_url(self) -> bool:
        """Whether the image is at a URL rather than on a disk."""
        return is_url(self.path)


class VectorIndex(Shown):
    """A cosine index over the images of a store.

    Attributes:
        description: Keys, labels, feature, model, kind.
        path: The file with the vectors, or None if it was never written.
    """

    def __init__(
        self, index: VectorSearch, description: IndexDescription, path: Path | None
    ) -> None:
        self._index = index
        self.description = description
        self.path = path

    def __len__(self) -> int:
        return len(self.description.keys)

    @property
    def summary(self) -> str:
        """How it searches, in a few words, for example ``"exact"``."""
        return self._index.summary

    @property
    def root(self) -> Root:
        """What keys are relative to, also after it was moved together with the index."""
        description = self.description
        if self.path is None:
            return description.root
        first = next(iter(description.keys), None)
        folder = self.path.absolute().parent
        return description.root.relocate(description.root_relative, folder, first)

    def search(
        self, queries: ArrayLike, k: int = DEFAULT_K, *, threshold: float | None = None
    ) -> list[list[Match]]:
        """Find the vectors most similar to each query.

        Args:
            queries: Feature vectors, an array or lists of shape (Q, D), not necessarily normalised.
            k: The most matches for each query; all N when k is larger.
            threshold: Leave out matches with a lower cosine similarity.

        Returns:
            For each query its matches, best first. A query of zeros scores 0 with all.

        Raises:
            DimensionMismatch: If D is not the index's.
            InvalidType: If these are no numbers.
            InvalidValue: If k is less than 1, or a query holds NaN or infinity.
            IndexFileError: If a stored vector does.
        """
        queries = check_numbers("queries", queries)
        width = self._index.shape[1]
        if queries.ndim != 2 or queries.shape[1] != width:
            raise DimensionMismatch(
                f"The index holds vectors of {width} values; queries have the shape (Q, {width}). "
                f"Received: shape={queries.shape}."
            )
        if k < 1:
            raise InvalidValue(f"At least one match is asked for. Received: k={k}.")
        if not np.isfinite(queries).all():
            raise InvalidValue("A query vector holds NaN or infinity.")
        found, rows = self._index.search(normalize_rows(queries), min(k, len(self)))
        if not np.isfinite(found[rows >= 0]).all():
            raise IndexFileError(
                f"The index {str(self.path)!r} is damaged: it holds NaN or infinity. Build it "
                f"again with {command('index')}."
            )
        scores = np.clip(found, -1, 1)  # Rounding may leave 1.0000004.
        root = self.root
        return [
            [
                self._match(rank, int(row), float(score), root)
                for rank, (score, row) in enumerate(zip(line_scores, line_rows, strict=True), 1)
                if row >= 0 and (threshold is None or score >= threshold - SCORE_ROUNDING)
            ]
            for line_scores, line_rows in zip(scores, rows, strict=True)
        ]

    def vectors_by_content(self) -> dict[bytes, int]:
        """Return content hash → row, for vectors that can be used again."""
        joined = self.description.content_hash
        return {
            joined[i : i + HASH_BYTES]: i // HASH_BYTES for i in range(0, len(joined), HASH_BYTES)
        }

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return stored vectors, normalised, float32 (n, D)."""
        return self._index.vectors(rows)

    def search_key(
        self, key: str, k: int = DEFAULT_K, *, threshold: float | None = None
    ) -> list[Match]:
        """Find the images most similar to one that is in the index, without itself.

        Raises:
            UnknownName: If there is no such key.
        """
        if key not in self.description.keys:
            raise UnknownName("image in the index", key, self.description.keys)
        row = self.description.keys.index(key)
        vector = self.vectors(np.array([row]))
        matches = self.search(vector, k + 1, threshold=threshold)[0]
        others = [match for match in matches if match.key != key][:k]
        return [
            Match(rank, match.key, match.path, match.score, match.label)
            for rank, match in enumerate(others, 1)
        ]

    def save(self, path: Path) -> None:
        """Write both files; a crash in between is noticed when they are opened.

        Raises:
            IndexFileError: If they cannot be written.
        """
        try:
            with replace_file(path) as temporary:
                temporary.touch()
                self._index.write(temporary)
                sha256 = hash_file(temporary)
                data = seal(self.description.to_dict() | {"faiss_sha256": sha256})
            with replace_file(description_path(path)) as temporary:
                temporary.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            raise IndexFileError(
                f"{str(path)!r} cannot be written: {error.strerror}. Name another place: "
                f"{command('index', output='OTHER.faiss')}, or "
                f"{command('search', features='STORE', index='OTHER.faiss')}."
            ) from error
        self.path = path

    def _match(self, rank: int, row: int, score: float, root: Root) -> Match:
        key = self.description.keys[row]
        return Match(rank, key, root.location(key), score, self.description.labels[row])


@plain_arguments(path=check_given_path)
def open_index(path: str | Path) -> VectorIndex:
    """Open an index for searching.

    Args:
        path: The ``.faiss`` file that `featx index` wrote, with its ``.json`` file beside it.

    Raises:
        IndexFileError: If either file is missing or damaged, or they do not belong together.
        NotInstalled: If it is of a kind that is not installed here.

    Example:
        >>> open_index("no-such.faiss")
        Traceback (most recent call last):
        ...
        featx.errors.IndexFileError: There is no index 'no-such.faiss'. ...
    """
    path = Path(path)
    if not path.is_file():
        raise IndexFileError(f"There is no index {str(path)!r}. {command('index')} makes one.")
    if not description_path(path).is_file():
        raise IndexFileError(
            f"{str(description_path(path))!r} is missing: it names the images in {str(path)!r}. "
            f"Build the index again with {command('index')}."
        )
    description, sha256 = read_description(description_path(path))
    if hash_file(path) != sha256:
        raise IndexFileError(
            f"{str(path)!r} is damaged, or {description_path(path).name!r} belongs to another "
            f"index. Build the index again with {command('index')}."
        )
    shape = (len(description.keys), math.prod(description.feature.shape))
    return VectorIndex(INDEXES[description.kind].read(path, shape), description, path)


def normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, so that their inner product is the cosine; zeros stay zeros.

    Example:
        >>> normalize_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
