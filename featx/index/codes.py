"""Vectors in lists as codes: centres, and how vectors become codes and are compared as such."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from featx.index.container import Arrays, Section
from featx.index.kinds import Space, Vectors
from featx.index.lists import CodeFile, MappedLists
from featx.index.nearest import FAISS_API, metric_of, start_faiss
from featx.index.recipes import Recipe

ENCODED_ROWS = 8192
"""Rows that are read from the store at a time when an index is brought up to date."""


SHARED_ARRAYS = ("centres", "rotation", "offset", "ranges", "words")
"""Arrays by which vectors become codes, of all recipes."""


class Coder:
    """Centres and codes; FAISS's index of them, without vectors.

    Args:
        space: The vectors.
        centres: float32 (L, P), of rotated vectors.
        extra: What codes were trained to, see `trained_shape`. ``rotation``, float32 (D, P), and
            ``offset``, float32 (P,): what vectors are multiplied with, and what is added.
        recipe: How vectors are compressed.
    """

    def __init__(
        self, space: Space, centres: np.ndarray, extra: Mapping[str, np.ndarray], recipe: Recipe
    ) -> None:
        start_faiss()
        self.space, self.centres, self.extra, self.recipe = space, centres, extra, recipe
        self._rotation, self._offset = extra.get("rotation"), extra.get("offset")
        width = centres.shape[1]
        self.quantizer = FAISS_API.IndexFlat(width, metric_of(space))
        self.quantizer.add(centres)
        self.index = _make_lists(recipe, self.quantizer, len(centres), metric_of(space))
        if "ranges" in extra:
            FAISS_API.copy_array_to_vector(extra["ranges"], self.index.sq.trained)
        if "words" in extra:
            FAISS_API.copy_array_to_vector(extra["words"].reshape(-1), self.index.pq.centroids)
        self.index.is_trained = True
        self.code_size = int(self.index.code_size)

    def __len__(self) -> int:
        return len(self.centres)

    def rotate(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors as they are compared with centres."""
        if self._rotation is not None:
            vectors = vectors @ self._rotation
        if self._offset is not None:
            vectors = vectors + self._offset
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
        rotated = self.decode_rotated(codes, number)
        if self._offset is not None:
            rotated = rotated - self._offset
        return rotated if self._rotation is None else rotated @ self._back

    def decode_rotated(self, codes: np.ndarray, number: int) -> np.ndarray:
        """Return vectors as queries are compared with them, float32 (n, P), of one list."""
        width = int(self.index.coarse_code_size())
        prefix = np.frombuffer(number.to_bytes(width, "little"), np.uint8)
        whole = np.concatenate([np.tile(prefix, (len(codes), 1)), codes], axis=1)
        return np.asarray(self.index.sa_decode(np.ascontiguousarray(whole)))

    @cached_property
    def _back(self) -> np.ndarray:
        """What undoes the rotation, as far as it can be undone, (P, D)."""
        assert self._rotation is not None
        turned = self._rotation.T
        if np.allclose(turned @ self._rotation, np.eye(len(turned)), atol=1e-4):
            return turned  # A tenth of a second, where what follows takes many.
        return np.linalg.pinv(self._rotation)

    def encode_all(self, vectors: Vectors) -> CodeFile:
        """Return the codes of all vectors, which are read once."""
        file, start = CodeFile(vectors.scratch, self.code_size, len(self), self.space.count), 0
        for block in vectors.read():
            codes, lists = self.encode(block)
            file.add(codes, lists, np.arange(start, start + len(block)))
            start += len(block)
        return file

    def encode_rows(self, vectors: Vectors, rows: np.ndarray) -> CodeFile:
        """Return the codes of chosen vectors."""
        file = CodeFile(vectors.scratch, self.code_size, len(self), len(rows))
        self.add_rows(file, vectors, rows)
        return file

    def add_rows(self, file: CodeFile, vectors: Vectors, rows: np.ndarray) -> None:
        """Add the codes of chosen vectors to a file."""
        for start in range(0, len(rows), ENCODED_ROWS):
            chosen = rows[start : start + ENCODED_ROWS]
            file.add(*self.encode(vectors.take(chosen)), chosen)

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


def _make_lists(recipe: Recipe, quantizer: Any, count: int, metric: int) -> Any:
    """Return FAISS's index of empty lists.

    Raises:
        ValueError: If there is no such code of vectors of this width.
    """
    shape = (quantizer, quantizer.d, count)
    if recipe.code == "Flat":
        return FAISS_API.IndexIVFFlat(*shape, metric)
    if recipe.code == "RaBitQ":
        return FAISS_API.IndexIVFRaBitQ(*shape, metric)
    if recipe.product is None:
        code = getattr(FAISS_API.ScalarQuantizer, SCALAR_CODES[recipe.code])
        return FAISS_API.IndexIVFScalarQuantizer(*shape, code, metric, recipe.is_residual)
    if quantizer.d % recipe.product[0]:
        raise ValueError(f"{quantizer.d} values are not divided into {recipe.product[0]} parts")
    lists = FAISS_API.IndexIVFPQ(*shape, *recipe.product, metric)
    lists.use_precomputed_table = -1  # It takes long to make, and far more memory than codes.
    return lists


SCALAR_CODES = {
    "SQ4": "QT_4bit",
    "SQ6": "QT_6bit",
    "SQ8": "QT_8bit",
    "SQfp16": "QT_fp16",
    "SQbf16": "QT_bf16",
}
"""Codes of each value on its own: factory string → FAISS's name."""


def trained_shape(recipe: Recipe, width: int) -> tuple[str, tuple[int, ...]] | None:
    """Return the array of what codes were trained to, and its shape; None if there is none.

    ``ranges`` are the smallest value and the extent of each; ``words`` are those of a product
    quantizer, part by part.
    """
    if recipe.product is not None:
        parts, bits = recipe.product
        return "words", (parts << bits, width // parts)
    return ("ranges", (2 * width,)) if recipe.code in ("SQ4", "SQ6", "SQ8") else None


def read_coder(arrays: Arrays, space: Space, recipe: Recipe) -> Coder:
    """Return the centres and codes in a file.

    Raises:
        ValueError: If its arrays cannot be those of such vectors.
    """
    centres, trained = arrays["centres"], arrays["trained_sizes"]
    width = space.width
    shapes: dict[str, tuple[int, ...]] = {}
    if recipe.transforms:
        width = arrays["rotation"].shape[-1]
        shapes["rotation"] = (space.width, width)
        if "offset" in arrays:
            shapes["offset"] = (width,)
    shapes |= dict(filter(None, [trained_shape(recipe, width)]))
    if centres.dtype != "<f4" or centres.shape[1:] != (width,) or not len(centres) or not width:
        raise ValueError("its centres have another size")
    for name, shape in shapes.items():
        if (arrays[name].dtype, arrays[name].shape) != ("<f4", shape):
            raise ValueError(f"its {name} have another size")
    if (trained.dtype, trained.shape) != ("<u4", (len(centres),)):
        raise ValueError("its lists have no trained sizes")
    values = {name: arrays[name].take_all() for name in ("centres", *shapes)}
    if not all(np.isfinite(value).all() for value in values.values()):
        raise ValueError("its centres hold NaN or infinity")
    return Coder(space, values.pop("centres"), values, recipe)
