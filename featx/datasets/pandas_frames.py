"""pandas: data frames, one for each batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from featx.checks.libraries import require_library
from featx.datasets.columns import KEY
from featx.datasets.feature_dataset import FeatureDataset
from featx.datasets.options import BatchOptions
from featx.datasets.reading import iter_batches
from featx.datasets.row_batches import Batch
from featx.errors import InvalidValue
from featx.store.frames import pandas_type
from featx.units import format_shape
from featx.wording import option

LIBRARY = "pandas"
TAKES_BATCHES = True


def make(data: FeatureDataset, batches: BatchOptions) -> Iterator[Any]:
    """Return an iterator of frames: columns, and layers as columns of float32, such as ``gap_0``.

    The key, where it is asked for, is the index.

    Raises:
        InvalidValue: If a layer is read as maps.
    """
    pandas = require_library(LIBRARY, "to")
    for spec in data.specs.values():
        if len(spec.shape) > 1:
            raise InvalidValue(
                f"A data frame holds vectors, and {spec.name!r} is a map of "
                f"{format_shape(spec.shape)}. Read it as a vector, for example with "
                f"{option('pool', 'avg')}."
            )
    beside = {
        name: pandas.Series(values, dtype=pandas_type(values))
        for name, values in data.values.items()
    }
    keys = beside.pop(KEY, None)
    # Made once: for each frame it would take longer than reading the rows.
    names = pandas.Index(
        [*beside]
        + [f"{name}_{n}" for name, spec in data.specs.items() for n in range(spec.shape[0])]
    )

    def make_frame(batch: Batch) -> Any:
        rows = batch.rows
        index = pandas.RangeIndex(len(rows))
        if keys is not None:
            index = pandas.Index(keys.take(rows), name=KEY)
        columns = [column.take(rows).set_axis(index) for column in beside.values()]
        # pandas has the memory of the batch, which is not used again as long as it does.
        blocks = [pandas.DataFrame(v, index=index, copy=False) for v in batch.layers.values()]
        frame = pandas.concat([*columns, *blocks], axis=1) if columns or blocks[1:] else blocks[0]
        frame.columns = names
        return frame

    return map(make_frame, iter_batches(data, batches))
