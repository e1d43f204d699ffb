"""`FeatureDataset`: chosen rows, layers and columns of a store, read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import numpy as np

from featx.checks.numbers import check_whole_number
from featx.datasets import reading, row_batches
from featx.datasets.columns import Target, read_numbers, read_target, read_values, to_float32
from featx.datasets.kinds import DATASETS
from featx.datasets.options import BatchKeywords, BatchOptions
from featx.errors import InvalidValue, StoreError, UnknownOption
from featx.options import fill_group
from featx.shown import Shown
from featx.specs import FeatureSpec
from featx.store import FeatureStore, open_store
from featx.store.values import RowReader


@dataclass(frozen=True, slots=True, eq=False)
class DatasetChoice:
    """What a data set has of a store.

    Attributes:
        path: The store.
        contents: Its `FeatureStore.contents`, by which another version is refused.
        layers: The layers.
        pool: Pooling of layers that were stored as maps.
        columns: The columns.
        target: The column that is to be learned.
        rows: int64 (n,), the rows, in the order of the store.
    """

    path: Path
    contents: str
    layers: tuple[str, ...]
    pool: str
    columns: tuple[str, ...]
    target: str | None
    rows: np.ndarray = field(repr=False)


class FeatureDataset(Shown):
    """Chosen rows, layers and columns of a store, read when they are asked for.

    It is a sequence: ``data[0]`` is a row, and PyTorch's ``DataLoader`` takes it as it is. A row or
    a batch is a dictionary of arrays by the names of layers and columns. With a target it is a
    pair: what a network gets, which is the array itself if it is one layer, and the target.

    It can be pickled and forked: each process opens the store for itself.

    Attributes:
        choice: What it has of the store.

    Example:
        >>> import featx
        >>> from featx.testing import toy_model, write_images
        >>> photos = write_images(6, classes=("cat", "dog"))
        >>> _ = featx.extract(photos, model=toy_model(), layers=["mean"], output="d.h5")
        >>> data = featx.open_dataset("d.h5", target="label")
        >>> for vectors, classes in data.batches(batch_size=4, shuffle=True):
        ...     print(vectors.shape, classes.shape)
        (4, 3) (4,)
        (2, 3) (2,)
    """

    def __init__(self, choice: DatasetChoice) -> None:
        self.choice = choice
        self._opened: tuple[int, FeatureStore] | None = None
        self._reading: tuple[FeatureStore, dict[str, RowReader]] | None = None
        self._memory = os.getpid(), row_batches.RowMemory()

    def __len__(self) -> int:
        return len(self.choice.rows)

    def __getitem__(self, number: int) -> Any:
        """Return a row."""
        return self.pick([number], to_float32)[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """Return several rows, which are read together; PyTorch asks for a batch in this way."""
        return self.pick(numbers, to_float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> DatasetChoice:
        return self.choice

    def __setstate__(self, choice: DatasetChoice) -> None:
        self.__init__(choice)  # type: ignore[misc]

    def reopen(self) -> FeatureDataset:
        """Return the same data set with a store of its own, for another thread."""
        other = FeatureDataset(self.choice)
        other._memory = os.getpid(), self.memory
        return other

    def close(self) -> None:
        """Close the store, and free memory. It is opened again when something more is read."""
        if self._opened is not None and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._opened, self._reading = None, None
        self._memory = os.getpid(), row_batches.RowMemory()

    @property
    def store(self) -> FeatureStore:
        """The open store.

        Raises:
            StoreError: If it has changed since the data set was made.
        """
        # What was opened before a fork belongs to the other process.
        if self._opened is None or self._opened[0] != os.getpid():
            store = open_store(self.choice.path)
            if store.contents != self.choice.contents:
                store.close()
                raise StoreError(
                    f"{str(self.choice.path)!r} has changed since the data set was made. Open the "
                    "data set again."
                )
            self._opened = os.getpid(), store
        return self._opened[1]

    @property
    def memory(self) -> row_batches.RowMemory:
        """Memory for rows, of all passes of this process."""
        if self._memory[0] != os.getpid():  # Threads that a fork has left behind may have its lock.
            self._memory = os.getpid(), row_batches.RowMemory()
        return self._memory[1]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers, in the order in which they were asked for."""
        return self.choice.layers

    @property
    def keys(self) -> tuple[str, ...]:
        """The key of each row."""
        keys = self.store.keys
        return tuple(keys[row] for row in self.choice.rows.tolist())

    @cached_property
    def specs(self) -> dict[str, FeatureSpec]:
        """Name in a batch → what it is, for each layer.

        A layer that has the name of a column that is asked for gets an underscore behind it.
        """
        specs: dict[str, FeatureSpec] = {}
        for layer in self.layers:
            name = layer
            while name in self.choice.columns or name in specs:
                name += "_"
            specs[name] = self.store.vector_spec(layer, self.choice.pool)
        return specs

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that the numbers of the target, or otherwise of labels, stand for."""
        return self.store.classes if self._target is None else self._target.classes

    @cached_property
    def _target(self) -> Target | None:
        return None if self.choice.target is None else read_target(self.store, self.choice.target)

    @cached_property
    def _numbers(self) -> dict[str, np.ndarray]:
        return {name: read_numbers(self.store, name) for name in self.choice.columns}

    @cached_property
    def values(self) -> dict[str, Sequence[Any]]:
        """Columns and target, name → the values of all rows of the store, as people read them."""
        names = dict.fromkeys((*self.choice.columns, *filter(None, [self.choice.target])))
        return {name: read_values(self.store, name) for name in names}

    def batches(
        self,
        batches: BatchOptions | None = None,
        *,
        epoch: int = 0,
        **options: Unpack[BatchKeywords],
    ) -> Iterator[Any]:
        """Yield all rows once, in batches of NumPy arrays.

        Args:
            batches: How rows are divided, in place of the keywords.
            epoch: The number of the pass, at least 0: each has another order if it is shuffled.
            options: The fields of `BatchOptions`.
        """
        epoch = check_whole_number("epoch", epoch, least=0)
        chosen = self._fill("batches", batches, options)
        return (self.arrange(batch) for batch in reading.iter_batches(self, chosen, epoch))

    def to(
        self, kind: str, batches: BatchOptions | None = None, **options: Unpack[BatchKeywords]
    ) -> Any:
        """Return the rows as a data set of another library.

        Args:
            kind: ``torch``: an ``IterableDataset`` of batches, whose ``loader(num_workers=2)`` is a
                ``DataLoader``; ``torch-rows``: a ``Dataset`` of rows; ``tensorflow``: a
                ``tf.data.Dataset`` of batches; ``arrow``: a ``RecordBatchReader``; ``pandas``: an
                iterator of data frames; or one of an add-on.
            batches: How rows are divided, in place of the keywords.
            options: The fields of `BatchOptions`.

        Raises:
            UnknownName: If there is no such kind.
            LibraryMissing: If the library is not installed.
            InvalidValue: If the kind cannot hold maps.
        """
        made = DATASETS[kind]
        if not made.TAKES_BATCHES and (batches is not None or options):
            raise InvalidValue(
                f"{kind!r} has rows, not batches: whoever takes them makes these. Received: "
                f"{next(iter(options), 'batches')!r}."
            )
        return made.make(self, self._fill("to", batches, options))

    def _fill(self, method: str, given: BatchOptions | None, options: Any) -> BatchOptions:
        fields = BatchKeywords.__annotations__
        for name in options:
            if name not in fields:
                raise UnknownOption(method, name, fields)
        return fill_group(BatchOptions, given, options)

    def read(self, numbers: np.ndarray, out: row_batches.Batch | None = None) -> row_batches.Batch:
        """Read the layers of chosen rows.

        Args:
            numbers: int64 (n,), in any order, each from 0 to the number of rows - 1.
            out: Memory for n rows, to be filled; new memory when None.
        """
        rows = self.choice.rows[numbers]
        if out is None:
            return row_batches.Batch(
                rows, {name: read(rows) for name, read in self._readers.items()}
            )
        out.rows[:] = rows
        for name, read in self._readers.items():
            read(rows, out.layers[name])
        return out

    @property
    def _readers(self) -> dict[str, RowReader]:
        store = self.store
        if self._reading is None or self._reading[0] is not store:
            pool, names = self.choice.pool, zip(self.specs, self.layers, strict=True)
            readers = {name: store.vector_reader(layer, pool) for name, layer in names}
            self._reading = store, readers
        return self._reading[1]

    def pick(self, numbers: Sequence[int], convert: Callable[[Any], Any]) -> list[Any]:
        """Return rows one by one, as `arrange` arranges them.

        Raises:
            IndexError: If there is no such row.
        """
        chosen = np.array([range(len(self))[number] for number in numbers], np.int64)
        batch = self.read(chosen)
        return [self.arrange(batch, convert, number) for number in range(len(chosen))]

    def arrange(
        self,
        batch: row_batches.Batch,
        convert: Callable[[Any], Any] = to_float32,
        row: int | None = None,
    ) -> Any:
        """Return a batch, or one row of it, as users get it.

        Args:
            batch: Layers of some rows; columns and target are added.
            convert: Applied to each array; rows of text are texts.
            row: The row; all when None.
        """
        take: Any = slice(None) if row is None else row
        chosen = batch.rows[take]
        inputs: Any = {name: convert(values[take]) for name, values in batch.layers.items()}
        inputs |= {name: convert(numbers[chosen]) for name, numbers in self._numbers.items()}
        if self._target is None:
            return inputs
        target = convert(self._target.values[chosen])
        return (next(iter(inputs.values())) if len(inputs) == 1 else inputs), target
