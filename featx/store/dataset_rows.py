"""Rows of one dataset, in any order, read as few chunks at a time as that takes."""

from __future__ import annotations

import threading

import h5py
import numpy as np

from featx.store.plain_chunks import PlainChunks

WHOLE_FROM = 8
"""A chunk of which at least one row in so many is wanted is read past HDF5, whole. HDF5 keeps the
chunk that it read last, which is better where rows are read one by one."""

_memory = threading.local()


class DatasetRows:
    """A dataset whose rows are read many times.

    It is false once its file is closed.

    Args:
        dataset: (N, *shape).
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._dataset = dataset
        self._shape, self._dtype = dataset.shape, dataset.dtype  # h5py asks HDF5 each time.
        self._chunk_rows = dataset.chunks[0] if dataset.chunks else len(dataset)
        self._chunks = PlainChunks.of(dataset)

    def __bool__(self) -> bool:
        return bool(self._dataset)

    def read(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Read chosen rows, in any order, also repeatedly.

        Args:
            rows: Row numbers, (n,).
            out: An array (n, *shape) of the dataset's type to be filled, without gaps; a new one
                when None.

        Returns:
            (n, *shape).
        """
        if out is None:
            out = np.empty((len(rows), *self._shape[1:]), self._dtype)
        if not out.size:
            return out
        first, last = int(rows.min()), int(rows.max())
        if len(rows) == last - first + 1 and (np.diff(rows) == 1).all():
            self._read_range(first, out)
            return out
        # Chunk by chunk: HDF5's own selection of points takes quadratic time.
        order = np.argsort(rows, kind="stable")
        chunks = rows[order] // self._chunk_rows
        starts = np.flatnonzero(np.diff(chunks, prepend=-1))
        for chosen in np.split(order, starts[1:]):
            self._read_chosen(rows[chosen], chosen, out)
        return out

    def _read_range(self, first: int, out: np.ndarray) -> None:
        """Read consecutive rows: whole chunks past HDF5, and what is left with it."""
        left, size = 0, self._chunk_rows
        for start in range(-first % size, len(out) - size + 1, size):
            if self._read_chunk((first + start) // size, out[start : start + size]):
                self._read_with_hdf5(first + left, out[left:start])
                left = start + size
        self._read_with_hdf5(first + left, out[left:])

    def _read_chunk(self, number: int, out: np.ndarray) -> bool:
        return self._chunks is not None and self._chunks.read(number, out)

    def _read_with_hdf5(self, first: int, out: np.ndarray) -> None:
        """Do what `h5py.Dataset.read_direct` does, which takes a sixth longer for a chunk."""
        if len(out):
            chosen = self._dataset.id.get_space()
            chosen.select_hyperslab((first, *[0] * (out.ndim - 1)), out.shape)
            self._dataset.id.read(h5py.h5s.create_simple(out.shape), chosen, out)

    def _read_chosen(self, rows: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
        """Read ascending rows of one chunk into some places of `out`."""
        size = self._chunk_rows
        number = int(rows[0]) // size
        if len(rows) * WHOLE_FROM >= size and (number + 1) * size <= self._shape[0]:
            chunk = _take_memory((size, *self._shape[1:]), self._dtype)
            if self._read_chunk(number, chunk):
                _place(chunk, rows - number * size, places, out)
                return
        low, high = int(rows[0]), int(rows[-1])
        _place(self._dataset[low : high + 1], rows - low, places, out)


def _take_memory(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return memory for a chunk, which the next call in this thread uses again."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory: np.ndarray | None = getattr(_memory, "chunk", None)
    if memory is None or len(memory) < size:
        memory = _memory.chunk = np.empty(size, np.uint8)
    return memory[:size].view(dtype).reshape(shape)


def _place(values: np.ndarray, chosen: np.ndarray, places: np.ndarray, out: np.ndarray) -> None:
    first, last = int(places[0]), int(places[-1])
    if last - first + 1 == len(places) and (np.diff(places) == 1).all():
        # With a mode, as NumPy otherwise makes another array first.
        np.take(values, chosen, axis=0, out=out[first : last + 1], mode="clip")
    else:
        out[places] = values[chosen]
