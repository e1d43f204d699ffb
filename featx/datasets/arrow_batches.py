"""Arrow: a ``RecordBatchReader``, of which ``read_all()`` makes a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from featx.checks.libraries import require_library
from featx.datasets.feature_dataset import FeatureDataset
from featx.datasets.options import BatchOptions
from featx.datasets.reading import iter_batches
from featx.store.frames import make_arrow_array

LIBRARY = "pyarrow"
TAKES_BATCHES = True


def make(data: FeatureDataset, batches: BatchOptions) -> Any:
    """Return the batches: columns, and layers as lists of float32, maps as tensors of Arrow."""
    arrow = require_library(LIBRARY, "to")
    columns = {name: make_arrow_array(values) for name, values in data.values.items()}
    types = {name: _type_of(arrow, spec.shape) for name, spec in data.specs.items()}
    schema = arrow.schema(
        [*((name, values.type) for name, values in columns.items()), *types.items()]
    )

    def generate() -> Iterator[Any]:
        for batch in iter_batches(data, batches):
            arrays = [values.take(arrow.array(batch.rows)) for values in columns.values()]
            for name, values in batch.layers.items():
                arrays.append(_make_array(arrow, values, types[name]))
            yield arrow.record_batch(arrays, schema=schema)

    return arrow.RecordBatchReader.from_batches(schema, generate())


def _type_of(arrow: Any, shape: tuple[int, ...]) -> Any:
    if len(shape) == 1:
        return arrow.list_(arrow.float32(), shape[0])
    return arrow.fixed_shape_tensor(arrow.float32(), shape)


def _make_array(arrow: Any, values: np.ndarray, kind: Any) -> Any:
    width = int(np.prod(values.shape[1:]))
    lists = arrow.FixedSizeListArray.from_arrays(arrow.array(values.reshape(-1)), width)
    return lists if values.ndim == 2 else arrow.ExtensionArray.from_storage(kind, lists)
