"""How rows are divided into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from featx.checks.flags import check_flag
from featx.checks.numbers import check_shard, check_whole_number

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How the rows of a `FeatureDataset` come: in batches, each row once in a pass over all.

    Attributes:
        batch_size: Rows of a batch, at least 1; the last may have fewer.
        shuffle: Whether each pass has another order: chunks of the store are read in random order
            into a buffer, whose rows are then permuted.
        seed: Seed of these orders, from 0 to 4,294,967,295. Pass e of a seed always has the same
            order, with the same `shard` and number of workers.
        buffer_rows: Rows that are permuted together, at least 1; as many as fit into 64 MiB when
            None. The more, the better mixed. Two buffers are in memory at a time.
        shard: ``(i, n)``: only the i-th of n parts of the rows, i from 1, for one of n processes
            that train together. Sizes differ by one row at most.
        drop_last: Leave out the last batch if it is not full, so that all shards have equally many
            batches.
    """

    batch_size: int = 256
    shuffle: bool = False
    seed: int = 0
    buffer_rows: int | None = None
    shard: tuple[int, int] | None = None
    drop_last: bool = False

    def __post_init__(self) -> None:
        self._check("batch_size", least=1)
        self._check("seed", least=0, most=LARGEST_SEED)
        if self.buffer_rows is not None:
            self._check("buffer_rows", least=1)
        if self.shard is not None:
            object.__setattr__(self, "shard", check_shard(self.shard))
        check_flag("shuffle", self.shuffle)
        check_flag("drop_last", self.drop_last)

    def _check(self, name: str, *, least: int, most: int = 2**63 - 1) -> None:
        value = check_whole_number(name, getattr(self, name), least=least, most=most)
        object.__setattr__(self, name, value)


class BatchKeywords(TypedDict, total=False):
    """The fields of `BatchOptions` as keywords."""

    batch_size: int
    shuffle: bool
    seed: int
    buffer_rows: int | None
    shard: tuple[int, int] | None
    drop_last: bool
