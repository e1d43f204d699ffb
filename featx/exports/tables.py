"""What a vector database is, and those there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from featx.registry import Registry

if TYPE_CHECKING:
    import numpy as np

DEFAULT_TABLE = "images"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to be written.

    Attributes:
        ids: Identifiers, which follow from the keys.
        vectors: float32 (n, D), as stored.
        fields: Name → n values: key, label, split, columns, content_hash, fingerprint.
        thumbnails: JPEG files; None where there is no picture, or where none are wanted.
    """

    ids: tuple[str, ...]
    vectors: np.ndarray
    fields: Mapping[str, Sequence[Any]]
    thumbnails: tuple[bytes | None, ...]


class Table(Protocol):
    """An open table, or collection, of a vector database, for cosine similarity."""

    def find(self, ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Return id → (content_hash, fingerprint) of the rows that are there."""
        ...

    def write(self, batch: Batch) -> None:
        """Write rows; those of the same ids are replaced."""
        ...

    def count(self) -> int:
        """Return the number of rows that can be read now."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Database(Protocol):
    """A vector database.

    Attributes:
        LIBRARY: What pip installs for it.
    """

    LIBRARY: str

    def open_table(self, destination: str, name: str, sample: Batch) -> Table:
        """Open a table, and make it if it does not exist.

        Args:
            destination: A path, for the form that is in the library, or the address of a server.
            name: The table.
            sample: Some rows, by which a new table knows its fields.
        """
        ...


DATABASES: Registry[Database] = Registry(
    "vector database",
    "featx.databases",
    {
        "lancedb": "featx.exports.lancedb",
        "qdrant": "featx.exports.qdrant",
        "milvus": "featx.exports.milvus",
        "parquet": "featx.exports.parquet_files",
    },
    Database,
)
