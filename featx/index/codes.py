"""Vectors in lists as codes: centres, and how vectors become codes and are compared as such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from featx.index.container import Arrays, Section
from featx.index.kinds import Space, Vectors
from featx.index.lists import CodeFile, MappedLists, SortedCodes
from featx.index.nearest import FAISS_API, metric_of, start_faiss

SEED = 1234

ITERATIONS = 10
"""Of k-means, as FAISS does for inverted lists."""

ENCODED_ROWS = 8192
"""Rows that are read from the store at a time when an index is brought up to date."""


class Coder:
    """Centres and codes; FAISS's index of them, without vectors.

    Args:
        space: The vectors.
        centres: float32 (L, D), rotated.
        extra: ``ranges``, float32 (2 D,): the smallest value and the extent of each, for 8 bits
            each; or ``rotation``, float32 (D, D), for one bit each.
    """

    def __init__(self, space: Space, centres: np.ndarray, extra: Mapping[str, np.ndarray]) -> None:
        start_faiss()
        self.centres, self.extra = centres, extra
        self._rotation = extra.get("rotation")
        metric = metric_of(space)
        self.quantizer = FAISS_API.IndexFlat(space.width, metric)
        self.quantizer.add(centres)
        shape = (self.quantizer, space.width, len(centres))
        if self._rotation is not None:
            self.index: Any = FAISS_API.IndexIVFRaBitQ(*shape, metric)
        else:
            eight_bits = FAISS_API.ScalarQuantizer.QT_8bit
            self.index = FAISS_API.IndexIVFScalarQuantizer(*shape, eight_bits, metric, False)
            FAISS_API.copy_array_to_vector(extra["ranges"], self.index.sq.trained)
        self.index.is_trained = True
        self.code_size = int(self.index.code_size)

    def __len__(self) -> int:
        return len(self.centres)

    def rotate(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors as they are compared with centres."""
        if self._rotation is not None:
            vectors = vectors @ self._rotation
        return np.ascontiguousarray(vectors, np.float32)

    def find_lists(self, rotated: np.ndarray) -> np.ndarray:
        """Return the list of each vector, int64 (n,)."""
        if not len(rotated):
            return np.empty(0, np.int64)
        lists = self.quantizer.search(rotated, 1)[1][:, 0]
        return np.asarray(np.maximum(lists, 0))  # -1 for NaN.

    def encode(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return codes, uint8 (n, code_size), and lists, int64 (n,)."""
        rotated = self.rotate(vectors)
        lists = self.find_lists(rotated)
        codes = np.empty((len(rotated), self.code_size), np.uint8)
        places = [FAISS_API.swig_ptr(array) for array in (rotated, lists, codes)]
        self.index.encode_vectors(len(rotated), *places)
        return codes, lists

    def decode(self, codes: np.ndarray, number: int) -> np.ndarray:
        """Return vectors, float32 (n, D), of codes of one list."""
        if self._rotation is None:
            return np.asarray(self.index.sq.decode(np.ascontiguousarray(codes)))
        width = int(self.index.coarse_code_size())
        prefix = np.frombuffer(number.to_bytes(width, "little"), np.uint8)
        whole = np.concatenate([np.tile(prefix, (len(codes), 1)), codes], axis=1)
        return np.asarray(self.index.sa_decode(np.ascontiguousarray(whole)) @ self._rotation.T)

    def encode_all(self, vectors: Vectors) -> SortedCodes:
        """Return the codes of all vectors, which are read once."""
        file, start = CodeFile(vectors.scratch, self.code_size), 0
        for block in vectors.read():
            codes, lists = self.encode(block)
            file.add(codes, lists, np.arange(start, start + len(block)))
            start += len(block)
        return file.finish(len(self))

    def encode_rows(self, vectors: Vectors, rows: np.ndarray) -> SortedCodes:
        """Return the codes of chosen vectors."""
        file = CodeFile(vectors.scratch, self.code_size)
        for start in range(0, len(rows), ENCODED_ROWS):
            chosen = rows[start : start + ENCODED_ROWS]
            file.add(*self.encode(vectors.take(chosen)), chosen)
        return file.finish(len(self))

    def map(self, lists: MappedLists) -> None:
        """Let FAISS read lists where they are in the file; where it cannot, give it a copy."""
        layout, index = lists.layout, self.index
        if hasattr(FAISS_API, "OnDiskInvertedLists"):
            path = lists.array.path
            mapped = FAISS_API.OnDiskInvertedLists(len(self), layout.code_size, str(path))
            offsets = layout.offsets + lists.array.place.offset
            places = np.stack([layout.sizes, layout.capacities, offsets], axis=1).astype(np.uint64)
            FAISS_API.memcpy(mapped.lists.data(), FAISS_API.swig_ptr(places), places.nbytes)
            mapped.totsize, mapped.read_only = path.stat().st_size, True
            mapped.do_mmap()
            index.replace_invlists(mapped, True)
            mapped.this.disown()
        else:  # On Windows.
            for number in range(len(self)):
                codes, rows = map(np.ascontiguousarray, lists.take(number))
                pointers = FAISS_API.swig_ptr(rows), FAISS_API.swig_ptr(codes.reshape(-1))
                index.invlists.add_entries(number, len(rows), *pointers)
        index.ntotal = int(layout.sizes.sum())

    def sections(self, trained_sizes: np.ndarray) -> list[Section]:
        """Return the arrays of it, with how many vectors each list was trained for."""
        return [
            Section.of("centres", self.centres),
            *(Section.of(name, array) for name, array in self.extra.items()),
            Section.of("trained_sizes", trained_sizes.astype("<u4")),
        ]


def read_coder(arrays: Arrays, space: Space, bits: int) -> Coder:
    """Return the centres and codes in a file.

    Raises:
        ValueError: If its arrays cannot be those of such vectors.
    """
    name, shape = ("rotation", (space.width,) * 2) if bits == 1 else ("ranges", (2 * space.width,))
    centres, extra, trained = arrays["centres"], arrays[name], arrays["trained_sizes"]
    if centres.dtype != "<f4" or centres.shape[1:] != (space.width,) or not len(centres):
        raise ValueError("its centres have another size")
    if (extra.dtype, extra.shape) != ("<f4", shape):
        raise ValueError(f"its {name} have another size")
    if (trained.dtype, trained.shape) != ("<u4", (len(centres),)):
        raise ValueError("its lists have no trained sizes")
    values = centres.take_all(), extra.take_all()
    if not all(np.isfinite(value).all() for value in values):
        raise ValueError("its centres hold NaN or infinity")
    return Coder(space, values[0], {name: values[1]})


def train_coder(training: np.ndarray, count: int, space: Space, bits: int) -> Coder:
    """Return centres and codes for vectors like some vectors.

    Args:
        training: float32 (n, D).
        count: Lists, at most; there are no more than vectors.
        space: The vectors of the index.
        bits: Bits for each value, 8 or 1.
    """
    start_faiss()
    if bits == 1:
        random = np.random.default_rng(SEED).standard_normal((space.width, space.width))
        extra = {"rotation": np.linalg.qr(random)[0].astype(np.float32)}
        training = training @ extra["rotation"]
    else:
        quantizer = FAISS_API.ScalarQuantizer(space.width, FAISS_API.ScalarQuantizer.QT_8bit)
        quantizer.train(np.ascontiguousarray(training))
        extra = {"ranges": FAISS_API.vector_to_array(quantizer.trained).astype(np.float32)}
    return Coder(space, train_centres(training, count, space), extra)


def train_centres(training: np.ndarray, count: int, space: Space) -> np.ndarray:
    """Return the centres of lists, float32 (count, D), by k-means."""
    training = np.ascontiguousarray(training, np.float32)
    count = min(count, len(training))
    if count == len(training):
        return training.copy()
    means = FAISS_API.Kmeans(
        space.width,
        count,
        niter=ITERATIONS,
        seed=SEED,
        spherical=space.metric == "ip",
        min_points_per_centroid=1,
        max_points_per_centroid=len(training),
    )
    means.train(training)
    return np.asarray(means.centroids, np.float32).reshape(count, space.width)
