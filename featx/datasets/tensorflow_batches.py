"""TensorFlow: a ``tf.data.Dataset`` of batches, which Keras trains on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from featx.checks.libraries import require_library
from featx.datasets.columns import to_float32
from featx.datasets.feature_dataset import FeatureDataset
from featx.datasets.options import BatchOptions
from featx.datasets.order import Share
from featx.datasets.reading import iter_batches

LIBRARY = "tensorflow"
TAKES_BATCHES = True


def make(data: FeatureDataset, batches: BatchOptions) -> Any:
    """Return the batches; each time that it is iterated is the next pass."""
    tensorflow = require_library(LIBRARY, "to")
    passes = count()

    def generate() -> Iterator[Any]:
        for batch in iter_batches(data, batches, next(passes)):
            yield data.arrange(batch)

    def describe(values: np.ndarray) -> Any:
        array = to_float32(values)
        dtype = tensorflow.string if array.dtype == object else array.dtype
        return tensorflow.TensorSpec((None, *array.shape[1:]), dtype)

    signature = data.arrange(data.read(np.empty(0, np.int64)), describe)
    made = tensorflow.data.Dataset.from_generator(generate, output_signature=signature)
    number = Share.of(len(data), batches).num_batches
    # The next batch is read while the network computes.
    counted = tensorflow.data.experimental.assert_cardinality(number)
    return made.apply(counted).prefetch(tensorflow.data.AUTOTUNE)
