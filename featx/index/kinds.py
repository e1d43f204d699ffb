"""What a kind of index is, and the kinds there are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from featx.errors import AddOnError
from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np

DEFAULT_INDEX_KIND = "flat"


class VectorSearch(Protocol):
    """N vectors of D values that can be searched: what a kind of index builds and reads.

    All vectors have length 1 (or are zeros), so that an inner product is a cosine.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, D)``."""
        ...

    @property
    def summary(self) -> str:
        """How it searches, in a few words for the user, for example ``"exact"``."""
        ...

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the vectors with the largest inner products.

        Args:
            queries: float32 (Q, D), of length 1 or zeros, without NaN.
            count: Matches for each query, from 1 to N.

        Returns:
            Scores, float32, and row numbers, both (Q, count) and best first. Where a kind that
            does not look everywhere finds fewer, the rest of the rows is -1.
        """
        ...

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Return vectors as they were put in, float32 (n, D).

        A kind that compresses vectors keeps them beside: an index that is brought up to date
        takes them from here.

        Args:
            rows: Row numbers, int64 (n,), each from 0 to N - 1. n may be 0.
        """
        ...

    def write(self, path: Path) -> None:
        """Write all of it to one file.

        Raises:
            OSError: If the disk is full, or cannot be written.
        """
        ...


class IndexKind(Protocol):
    """A kind of vector index.

    featx itself writes keys, labels and identity beside it and compares the file's SHA-256
    when it is opened. The contract tests in `featx.testing.contracts.indexes` say what must hold.
    """

    def build(self, blocks: Iterable[np.ndarray], shape: tuple[int, int]) -> VectorSearch:
        """Build an index.

        Args:
            blocks: The vectors in order, as float32 (n, D) blocks of length-1 rows. Each
                iteration reads them again: a kind that is trained first may take them twice.
            shape: ``(N, D)``, both at least 1.
        """
        ...

    def read(self, path: Path, shape: tuple[int, int]) -> VectorSearch:
        """Read what `VectorSearch.write` wrote.

        The file may come from a stranger: it is checked before anything is allocated for what
        it claims to hold.

        Args:
            path: The file.
            shape: ``(N, D)``, as the index's description says.

        Raises:
            IndexFileError: If it is damaged, of another kind, or of another shape.
        """
        ...

    def recognizes(self, path: Path) -> bool:
        """Whether a file begins as those of this kind do: such a file may be replaced."""
        ...


INDEXES: Registry[IndexKind] = Registry(
    "kind of index",
    "featx.indexes",
    {
        "flat": "featx.index.flat:flat",
    },
    IndexKind,
)


def is_index_file(path: Path) -> bool:
    """Whether a file begins as those of any kind do."""
    return any(_recognizes(name, path) for name in INDEXES)


def _recognizes(name: str, path: Path) -> bool:
    try:
        return INDEXES[name].recognizes(path)
    except AddOnError:
        return False
