"""The data sets of other libraries that a store can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from featx.registry import Registry

if TYPE_CHECKING:
    from featx.datasets.feature_dataset import FeatureDataset
    from featx.datasets.options import BatchOptions


class DatasetKind(Protocol):
    """A module, or an object, that hands the rows of a `FeatureDataset` to a library.

    The library is imported by `make`, and said to be missing in `featx.errors.LibraryMissing`.
    The contract tests in `featx.testing.contracts.datasets` say what must hold.

    Attributes:
        LIBRARY: What is imported for it.
        TAKES_BATCHES: Whether it divides rows into batches; others refuse options of batches.
    """

    LIBRARY: str
    TAKES_BATCHES: bool

    def make(self, data: FeatureDataset, batches: BatchOptions) -> Any:
        """Return the library's own data set; rows are read when it is iterated or indexed.

        Args:
            data: The rows: `FeatureDataset.batches` yields them, `FeatureDataset.read` picks some.
            batches: How they are divided, for kinds that take batches.
        """
        ...


DATASETS: Registry[DatasetKind] = Registry(
    "kind of data set",
    "featx.datasets",
    {
        "torch": "featx.datasets.torch_batches",
        "torch-rows": "featx.datasets.torch_rows",
        "tensorflow": "featx.datasets.tensorflow_batches",
        "arrow": "featx.datasets.arrow_batches",
        "pandas": "featx.datasets.pandas_frames",
    },
    DatasetKind,
)
