"""PyTorch: a map-style ``Dataset``, whose rows are read in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from featx.checks.libraries import require_library
from featx.datasets.feature_dataset import FeatureDataset
from featx.datasets.options import BatchOptions

torch = require_library("torch", "to")
Dataset: Any = torch.utils.data.Dataset

LIBRARY = "torch"
TAKES_BATCHES = False


def make(data: FeatureDataset, batches: BatchOptions) -> TorchRows:
    """Return the rows; what takes them, such as a ``DataLoader``, makes batches."""
    return TorchRows(data)


class TorchRows(Dataset):  # type: ignore[misc]
    """Rows of tensors.

    Shuffled, it reads a chunk of the store for each row: for what does not fit into the system's
    memory of files, take ``torch``.

    Attributes:
        data: The rows.
    """

    def __init__(self, data: FeatureDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, number: int) -> Any:
        """Return a row."""
        return self.data.pick([number], to_tensor)[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """Return several rows, which are read together."""
        return self.data.pick(numbers, to_tensor)


def to_tensor(values: Any) -> Any:
    """Return an array, or a number of one, as a tensor; texts as a list, or a text."""
    if isinstance(values, str):
        return values
    array = np.asarray(values)
    if array.dtype == object:
        return array.tolist()
    tensor = torch.from_numpy(array)
    return tensor.float() if tensor.dtype == torch.float16 else tensor  # Faster than NumPy.
