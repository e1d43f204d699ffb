"""Milvus: a collection in a file ending in ``.db`` (Milvus Lite), or on a server."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from featx.errors import ExportError
from featx.exports.tables import Batch
from featx.images.roots import is_url
from featx.wording import option

LIBRARY = "pymilvus milvus-lite"


class MilvusCollection:
    """A collection of Milvus. Fields are dynamic; a thumbnail is text in Base64."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def find(self, ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Return id → (content_hash, fingerprint)."""
        names = ["id", "content_hash", "fingerprint"]
        found = self._client.get(self._name, ids=list(ids), output_fields=names)
        return {row["id"]: (row["content_hash"], row["fingerprint"]) for row in found}

    def write(self, batch: Batch) -> None:
        """Write rows; those of the same ids are replaced."""
        rows: list[dict[str, Any]] = []
        for place, row in enumerate(batch.ids):
            fields = {name: values[place] for name, values in batch.fields.items()}
            thumbnail = batch.thumbnails[place]
            if thumbnail is not None:
                fields["thumbnail"] = base64.b64encode(thumbnail).decode("ascii")
            known = {name: value for name, value in fields.items() if value is not None}
            rows.append({"id": row, "vector": batch.vectors[place].tolist(), **known})
        self._client.upsert(self._name, rows)

    def count(self) -> int:
        """Return the number of rows."""
        self._client.flush(self._name)
        (found,) = self._client.query(self._name, filter="", output_fields=["count(*)"])
        return int(found["count(*)"])

    def close(self) -> None:
        """Close the client."""
        self._client.close()


def open_table(destination: str, name: str, sample: Batch) -> MilvusCollection:
    """Open or make a collection; see `featx.exports.tables.Database`."""
    if not is_url(destination) and not destination.endswith(".db"):
        raise ExportError(
            "Milvus takes a file that ends in .db, or the address of a server, such as "
            f"http://localhost:19530. Received: {option('output', destination)}."
        )
    from pymilvus import DataType, MilvusClient

    client: Any = MilvusClient(uri=destination)
    if not client.has_collection(name):
        schema = client.create_schema(enable_dynamic_field=True)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=36)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=sample.vectors.shape[1])
        index = client.prepare_index_params()
        index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
        client.create_collection(name, schema=schema, index_params=index)
    client.load_collection(name)
    return MilvusCollection(client, name)
