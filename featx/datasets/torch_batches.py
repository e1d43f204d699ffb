"""PyTorch: an ``IterableDataset`` of batches, shuffled by chunks, divided among workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from featx.checks.libraries import require_library
from featx.datasets.feature_dataset import FeatureDataset
from featx.datasets.options import BatchOptions
from featx.datasets.order import Share
from featx.datasets.reading import iter_batches
from featx.datasets.torch_rows import to_tensor

torch = require_library("torch", "to")
IterableDataset: Any = torch.utils.data.IterableDataset
DataLoader: Any = torch.utils.data.DataLoader

LIBRARY = "torch"
TAKES_BATCHES = True


def make(data: FeatureDataset, batches: BatchOptions) -> TorchBatches:
    """Return the batches of this process.

    Without a shard, these are those of its rank, where ``torch.distributed`` has been started.
    """
    distributed = torch.distributed
    if batches.shard is None and distributed.is_available() and distributed.is_initialized():
        rank, count = distributed.get_rank(), distributed.get_world_size()
        batches = replace(batches, shard=(rank + 1, count))
    return TorchBatches(data, batches)


class TorchBatches(IterableDataset):  # type: ignore[misc]
    """Batches of tensors; each pass gives every row once.

    Iterated in this process, each pass is the next one. Workers of a ``DataLoader`` are told the
    number of the pass by `set_epoch`, which `loader` does by itself.

    Attributes:
        data: The rows.
        batches: How they are divided.
    """

    def __init__(self, data: FeatureDataset, batches: BatchOptions) -> None:
        self.data = data
        self.batches = batches
        # Shared with workers that live as long as their loader.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        """Return the number of batches, which does not depend on the number of workers."""
        return Share.of(len(self.data), self.batches).num_batches

    def __iter__(self) -> Iterator[Any]:
        info, epoch = torch.utils.data.get_worker_info(), int(self._epoch)
        if info is None:
            self.set_epoch(epoch + 1)
        worker = (0, 1) if info is None else (info.id, info.num_workers)
        for batch in iter_batches(self.data, self.batches, epoch, worker):
            yield self.data.arrange(batch, to_tensor)

    def set_epoch(self, epoch: int) -> None:
        """Say which pass is the next, from 0."""
        self._epoch.fill_(epoch)

    def loader(self, **options: Any) -> Loader:
        """Return a ``DataLoader`` of the batches, of which each pass is the next one.

        Args:
            options: Of ``torch.utils.data.DataLoader``, such as ``num_workers``.
        """
        return Loader(self, batch_size=None, **options)


class Loader(DataLoader):  # type: ignore[misc]
    """A ``DataLoader`` that tells the data set the number of each pass."""

    passes = 0

    def __iter__(self) -> Any:
        self.dataset.set_epoch(self.passes)
        self.passes += 1
        return super().__iter__()
