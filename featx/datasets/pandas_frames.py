"""pandas: data frames, one for each batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from featx.checks import require_library
from featx.datasets.columns import KEY, to_float32
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
    types = {name: pandas_type(values) for name, values in data.values.items()}
    names = {
        name: [f"{name}_{number}" for number in range(spec.shape[0])]
        for name, spec in data.specs.items()
    }

    def make_frame(batch: Batch) -> Any:
        rows = batch.rows.tolist()
        columns = {
            name: pandas.Series([values[row] for row in rows], dtype=types[name])
            for name, values in data.values.items()
        }
        blocks = (
            pandas.DataFrame(to_float32(v), columns=names[n]) for n, v in batch.layers.items()
        )
        frame = pandas.concat([pandas.DataFrame(columns), *blocks], axis=1)
        return frame.set_index(KEY) if KEY in columns else frame

    return map(make_frame, iter_batches(data, batches))
