"""LanceDB: tables in a folder, or in object storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featx.exports.parquet_files import make_table
from featx.exports.tables import Batch

LIBRARY = "lancedb"


class LanceTable:
    """A table of LanceDB."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def find(self, ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Return id → (content_hash, fingerprint)."""
        chosen = ", ".join(f"'{one}'" for one in ids)
        query = self._table.search().where(f"id IN ({chosen})").limit(len(ids))
        found = query.select(["id", "content_hash", "fingerprint"]).to_list()
        return {row["id"]: (row["content_hash"], row["fingerprint"]) for row in found}

    def write(self, batch: Batch) -> None:
        """Write rows; those of the same ids are replaced."""
        merge = self._table.merge_insert("id").when_matched_update_all()
        merge.when_not_matched_insert_all().execute(make_table(batch).cast(self._table.schema))

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._table.count_rows())

    def close(self) -> None:
        """Nothing is open."""


def open_table(destination: str, name: str, sample: Batch) -> LanceTable:
    """Open or make a table; see `featx.exports.tables.Database`."""
    import lancedb

    connection = lancedb.connect(destination)
    schema = make_table(sample).schema
    return LanceTable(connection.create_table(name, schema=schema, exist_ok=True))
