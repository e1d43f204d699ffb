"""A layer's rows on the disk, in one file or in parts, with the indexing of an array."""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featx.checks.messages import describe_value
from featx.errors import InvalidSelection, InvalidType, StoreDamaged
from featx.shown import Shown
from featx.specs import FeatureSpec, ModelSpec
from featx.store.dataset_rows import DatasetRows
from featx.store.format import parts_folder
from featx.store.opening import open_part
from featx.store.rows import RowMap
from featx.store.seal import read_seal
from featx.wording import command, option

ITER_BYTES = 8 << 20
"""Rows that are read at a time when a layer is iterated."""

MAX_OPEN_PARTS = 32
"""Part files that one store keeps open; systems allow a process a few hundred files."""

RowReader = Callable[..., np.ndarray]
"""Takes row numbers, int64 (n,), each from 0 to N - 1, and perhaps an array to be filled; returns
(n, *shape)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeatureTable(Shown):
    """Features of one layer with their keys, in memory: the input of heads and indexes.

    Tables are equal if they are the same object, as all that hold arrays: compare their columns.

    Attributes:
        keys: N keys.
        values: float32 (N, D).
        labels: N class names, None where there is none.
        content_hash: uint8 (N, 16): equal for identical files.
        spec: The feature, with the pooling that `values` have.
        model: The model that computed it.
    """

    keys: tuple[str, ...]
    values: np.ndarray
    labels: tuple[str | None, ...]
    content_hash: np.ndarray
    spec: FeatureSpec
    model: ModelSpec

    @property
    def fingerprint(self) -> str:
        """SHA-256 that identifies model, input contract, layer and pooling."""
        return self.spec.fingerprint(self.model)


class LayerValues(Shown):
    """A layer's rows, (N, *shape), as stored; indexing reads them from the disk.

    The first axis takes the indices that NumPy takes (a number, a slice, a list or array of numbers
    or of booleans) and keys, one or several. Indices of further axes are applied to the rows that
    were read. Memory: the rows that were asked for.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        num_rows: int,
        spec: FeatureSpec,
        dtype: np.dtype[Any],
        rows_of: Callable[[Any], np.ndarray],
    ) -> None:
        self._read = read
        self._rows_of = rows_of
        self.shape = (num_rows, *spec.shape)
        self.dtype = dtype
        self._row_bytes = int(np.prod(spec.shape)) * dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        step = max(1, ITER_BYTES // max(1, self._row_bytes))
        for start in range(0, len(self), step):
            yield from self[start : start + step]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("It is on the disk: reading it makes an array.")
        return np.asarray(self[:], dtype)

    def __getitem__(self, selection: Any) -> Any:
        chosen = selection if isinstance(selection, tuple) else (selection,)
        if len(chosen) > 1 and all(map(_is_key, chosen)):
            chosen = (list(chosen),)  # A piece of `keys`, which is a tuple.
        if not chosen or chosen[0] is None or chosen[0] is Ellipsis:
            return self[:][selection]  # Which axis is meant depends on what follows.
        first, *rest = chosen
        if isinstance(first, slice):
            rows = np.arange(*first.indices(len(self)))
        elif _are_keys(first):
            rows = self._rows_of(first)
        elif isinstance(first, (int, np.integer)) and -len(self) <= first < len(self):
            rows = np.array(first % len(self))  # Without an array of all rows.
        else:  # With NumPy's own rules.
            rows = self._pick_rows(first)
        values = self._read(rows.reshape(-1)).reshape(*rows.shape, *self.shape[1:])
        if not rest:
            return values
        try:
            return values[(*[slice(None)] * rows.ndim, *rest)]
        except IndexError as error:
            if "only integers" not in str(error):  # Behind the end of an axis.
                raise
            raise InvalidType(
                "Axes behind the first are indexed as NumPy's: by slices and numbers. Received: "
                f"{describe_value(tuple(rest))}."
            ) from error

    def _pick_rows(self, index: Any) -> np.ndarray:
        """Return rows by whatever else NumPy takes: numbers, masks.

        Raises:
            InvalidSelection: If it is nothing that chooses rows.
        """
        try:
            return np.asarray(np.arange(len(self))[index])
        except (IndexError, ValueError) as error:
            if _chooses_rows(index):
                raise
            raise InvalidSelection(
                "Rows are chosen by slices, numbers, masks, or keys of images. Received: "
                f"{describe_value(index)}."
            ) from error


def _chooses_rows(index: Any) -> bool:
    """Whether an index is one of whole numbers or of a mask, which may be out of range."""
    try:
        return np.asarray(index).dtype.kind in "iub"
    except ValueError:  # Lists of different lengths.
        return False


def _are_keys(index: Any) -> bool:
    """Whether an index is a key, or several: a list, an array, a column of a data frame."""
    if _is_key(index):
        return True
    if isinstance(index, (bool, np.bool_)) or not hasattr(index, "__len__") or not len(index):
        return False
    return _is_key(next(iter(index)))


def _is_key(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


class PartFiles:
    """The part files of a view, opened when they are read, a bounded number at a time.

    Args:
        view: The view's file.
        row_map: The parts, and the part of each row.
        salvage: Read parts even if they are known to be damaged.
    """

    def __init__(self, view: Path, row_map: RowMap, *, salvage: bool = False) -> None:
        self._view = view
        self._salvage = salvage
        self.row_map = row_map
        self._open: OrderedDict[int, h5py.File] = OrderedDict()
        self._last: tuple[tuple[int, str], DatasetRows] | None = None

    @property
    def num_open(self) -> int:
        """How many parts are open now."""
        return len(self._open)

    def path(self, number: int) -> Path:
        """Return the path of a part: as recorded, or as it is if view and folder were renamed."""
        recorded = Path(os.path.normpath(self._view.parent / self.row_map.parts[number].file))
        renamed = parts_folder(self._view) / recorded.name
        return renamed if not recorded.exists() and renamed.exists() else recorded

    def check(self, number: int) -> None:
        """Refuse a part that is missing, or is not the one that was recorded.

        Raises:
            StoreDamaged: Says which.
        """
        path, part = self.path(number), self.row_map.parts[number]
        if path.exists() and not path.is_file():
            raise StoreDamaged(
                f"The part {str(path)!r} is a pipe, a socket, a device or a folder; expected: a "
                "regular file. Bring the part back, or extract again with "
                f"{option('overwrite', True)}."
            )
        if not path.exists():
            raise StoreDamaged(
                f"The part {str(path)!r} is missing: a store that is a view needs the folder "
                f"{path.parent.name!r} beside it. Bring it back, or run "
                f"{command('verify', repair=True)} to drop its rows and {command('extract')} to "
                "compute them again."
            )
        seal = read_seal(path)
        if seal is None or seal.sha256 != part.sha256:
            raise StoreDamaged(
                f"The part {str(path)!r} is damaged or belongs to another store: its seal is not "
                f"the one recorded. {command('verify')} says which rows are concerned."
            )
        if path.stat().st_size != seal.num_bytes:
            raise StoreDamaged(
                f"The part {str(path)!r} is damaged: it has {path.stat().st_size:,} bytes and was "
                f"written with {seal.num_bytes:,}. Copy it again, or run "
                f"{command('verify', repair=True)} to drop its rows and {command('extract')} to "
                "compute them again."
            )

    def check_all(self) -> None:
        """Check every part; see `check`."""
        for number in range(len(self.row_map.parts)):
            self.check(number)

    def read(self, dataset: str, rows: np.ndarray, out: np.ndarray) -> None:
        """Read rows of the view, (n,), of one dataset into `out`, (n, *shape)."""
        parts = self.row_map.part[rows]
        numbers = np.unique(parts).tolist()
        if len(numbers) == 1:
            self._dataset(numbers[0], dataset).read(self.row_map.row[rows], out)
            return
        for number in numbers:
            chosen = np.flatnonzero(parts == number)
            out[chosen] = self._dataset(number, dataset).read(self.row_map.row[rows[chosen]])

    def close(self) -> None:
        """Close all of them; they are opened again when read."""
        self._last = None
        while self._open:
            self._open.popitem()[1].close()

    def _dataset(self, number: int, name: str) -> DatasetRows:
        """Return a dataset of a part; the one that was read last stays open, with its chunk."""
        file = self._file(number)
        if self._last is None or self._last[0] != (number, name) or not self._last[1]:
            self._last = (number, name), DatasetRows(file[name])
        return self._last[1]

    def _file(self, number: int) -> h5py.File:
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        if not self._salvage:
            self.check(number)
        if len(self._open) >= MAX_OPEN_PARTS:
            self._open.popitem(last=False)[1].close()
        self._open[number] = open_part(self.path(number), salvage=self._salvage)
        return self._open[number]
