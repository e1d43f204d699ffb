"""A vector index with the keys and the identity of what is in it.

On the disk it is two files: ``features.faiss`` in FAISS's own format, readable with FAISS
alone (row i belongs to the i-th key), and ``features.faiss.json`` with keys, labels, model,
feature and the state of the store that it was built from.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.atomic import replace_file
from featx.errors import DimensionMismatch, IndexFileError, InvalidValue, UnknownName
from featx.files import hash_file
from featx.images.reading import HASH_BYTES
from featx.images.roots import Root
from featx.index import flat
from featx.sealed_json import check_seal, check_texts, seal
from featx.specs import DEFAULT_K, FeatureSpec, ModelSpec
from featx.store.reference import StoreReference

FORMAT = "featx-index"
FORMAT_VERSION = 2

LOCATIONS = ("contents", "store", "store_relative", "root", "root_relative")
"""Entries of the ``.json`` file that are one text each."""

SCORE_ROUNDING = 1e-6
"""How far float32 may leave the cosine of two equal vectors from 1."""


@dataclass(frozen=True, slots=True)
class Match:
    """One answer to a query.

    Attributes:
        rank: 1 for the best.
        key: The image's key in the store.
        path: Where the image lies.
        score: Cosine similarity, in [-1, 1].
        label: Its class, or None.
    """

    rank: int
    key: str
    path: str
    score: float
    label: str | None


@dataclass(frozen=True, slots=True)
class IndexDescription:
    """Everything but the vectors: the content of the ``.json`` file.

    Attributes:
        keys: N keys, in the order of the rows.
        labels: N class names, None where there is none.
        content_hash: The N content hashes of 16 bytes, joined: which vectors can be used again.
        feature: The feature, pooling included.
        model: The model that computes it.
        store: The store that it was built from.
        root: What keys are relative to.
        root_relative: See `Root.relative_to`: relative to the index's folder.
    """

    keys: tuple[str, ...]
    labels: tuple[str | None, ...]
    content_hash: bytes
    feature: FeatureSpec
    model: ModelSpec
    store: StoreReference
    root: Root
    root_relative: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies model, input contract, layer and pooling."""
        return self.feature.fingerprint(self.model)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-serialisable values."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "metric": "cosine",
            "fingerprint": self.fingerprint,
            "feature": self.feature.to_dict(),
            "model": self.model.to_dict(),
            "contents": self.store.contents,
            "store": self.store.path,
            "store_relative": self.store.relative,
            "root": self.root.text,
            "root_relative": self.root_relative,
            "keys": list(self.keys),
            "labels": list(self.labels),
            "content_hash": self.content_hash.hex(),
        }


class VectorIndex:
    """An exact cosine index over the images of a store.

    Attributes:
        description: Keys, labels, feature, model.
        path: Where it lies, or None if it was never written.
    """

    def __init__(self, index: Any, description: IndexDescription, path: Path | None) -> None:
        self._index = index
        self.description = description
        self.path = path

    def __len__(self) -> int:
        return len(self.description.keys)

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
        self, queries: np.ndarray, k: int = DEFAULT_K, *, threshold: float | None = None
    ) -> list[list[Match]]:
        """Find the vectors most similar to each query.

        Args:
            queries: Feature vectors, shape (Q, D), not necessarily normalised.
            k: The most matches for each query; all N when k is larger.
            threshold: Leave out matches with a lower cosine similarity.

        Returns:
            For each query its matches, best first. A query of zeros scores 0 with all.

        Raises:
            DimensionMismatch: If D is not the index's.
            InvalidValue: If k is less than 1, or a query holds NaN or infinity.
        """
        width = flat.shape_of(self._index)[1]
        if queries.ndim != 2 or queries.shape[1] != width:
            raise DimensionMismatch(
                f"The index holds vectors of {width} values; queries have the shape (Q, {width}). "
                f"Received: shape={queries.shape}."
            )
        if k < 1:
            raise InvalidValue(f"At least one match is asked for. Received: k={k}.")
        if not np.isfinite(queries).all():
            raise InvalidValue("A query vector holds NaN or infinity.")
        found, rows = flat.search_flat(self._index, normalize_rows(queries), min(k, len(self)))
        scores = np.clip(found, -1, 1)  # Rounding may leave 1.0000004.
        root = self.root
        return [
            [
                self._match(rank, int(row), float(score), root)
                for rank, (score, row) in enumerate(zip(line_scores, line_rows, strict=True), 1)
                if threshold is None or score >= threshold - SCORE_ROUNDING
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
        return flat.reconstruct_rows(self._index, rows)

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
        vector = flat.reconstruct(self._index, row)[np.newaxis]
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
                flat.write_flat(self._index, temporary)
                sha256 = hash_file(temporary)
                data = seal(self.description.to_dict() | {"faiss_sha256": sha256})
            with replace_file(description_path(path)) as temporary:
                temporary.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            raise IndexFileError(f"{str(path)!r} cannot be written: {error.strerror}.") from error
        except RuntimeError as error:  # FAISS says it in the words of its source code.
            raise IndexFileError(
                f"{str(path)!r} cannot be written: the disk is full, or took no more data."
            ) from error
        self.path = path

    def _match(self, rank: int, row: int, score: float, root: Root) -> Match:
        key = self.description.keys[row]
        return Match(rank, key, root.location(key), score, self.description.labels[row])


def open_index(path: str | Path) -> VectorIndex:
    """Open an index for searching.

    Args:
        path: The ``.faiss`` file that `featx index` wrote; its ``.json`` lies beside it.

    Raises:
        IndexFileError: If either file is missing or damaged, or they do not belong together.

    Example:
        >>> open_index("no-such.faiss")
        Traceback (most recent call last):
        ...
        featx.errors.IndexFileError: There is no index 'no-such.faiss'. ...
    """
    path = Path(path)
    if not path.is_file():
        raise IndexFileError(f"There is no index {str(path)!r}. `featx index` makes one.")
    if not description_path(path).is_file():
        raise IndexFileError(
            f"{str(description_path(path))!r} is missing: it names the images in {str(path)!r}. "
            "Build the index again with `featx index`."
        )
    description, sha256 = _read_description(description_path(path))
    if hash_file(path) != sha256:
        raise IndexFileError(
            f"{str(path)!r} is damaged, or {description_path(path).name!r} belongs to another "
            "index. Build the index again with `featx index`."
        )
    shape = (len(description.keys), math.prod(description.feature.shape))
    return VectorIndex(flat.read_flat(path, shape), description, path)


def description_path(path: Path) -> Path:
    """Return where the keys of an index lie: its path with ``.json`` behind."""
    return path.with_name(f"{path.name}.json")


def normalize_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale rows to length 1, so that their inner product is the cosine; zeros stay zeros.

    Example:
        >>> normalize_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def _read_description(path: Path) -> tuple[IndexDescription, str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise IndexFileError(f"{str(path)!r} does not describe a featx index.")
        if data["format_version"] != FORMAT_VERSION:
            older = data["format_version"] < FORMAT_VERSION
            remedy = "Build it again: featx index." if older else "Update: pip install -U featx."
            raise IndexFileError(
                f"{str(path)!r} has format version {data['format_version']}; this featx reads "
                f"version {FORMAT_VERSION}. {remedy}"
            )
        check_seal(data)
        named = [label for label in data["labels"] if label is not None]
        check_texts([*named, *(data[name] for name in LOCATIONS)])
        description = IndexDescription(
            keys=check_texts(data["keys"]),
            labels=tuple(data["labels"]),
            content_hash=bytes.fromhex(data["content_hash"]),
            feature=FeatureSpec.from_dict(data["feature"]),
            model=ModelSpec.from_dict(data["model"]),
            store=StoreReference(data["store"], data["store_relative"], data["contents"]),
            root=Root.parse(data["root"]),
            root_relative=data["root_relative"],
        )
        intact = data["fingerprint"] == description.fingerprint
        count = len(description.keys)
        intact &= len(description.content_hash) == HASH_BYTES * count
        if not intact or len(description.labels) != count:
            raise ValueError("its fields disagree")
        return description, str(data["faiss_sha256"])
    except IndexFileError:
        raise
    except Exception as error:  # Deep nesting is a RecursionError, an unknown name ours, ...
        raise IndexFileError(
            f"{str(path)!r} is damaged ({error}). Build the index again with `featx index`."
        ) from error
