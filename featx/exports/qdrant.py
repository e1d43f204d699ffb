"""Qdrant: a collection in a folder, or on a server."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from featx.exports.tables import Batch
from featx.images.roots import is_url

LIBRARY = "qdrant-client"


class QdrantCollection:
    """A collection of Qdrant. A thumbnail is text in Base64: payloads are JSON."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def find(self, ids: Sequence[str]) -> Mapping[str, tuple[str, str]]:
        """Return id → (content_hash, fingerprint)."""
        names = ["content_hash", "fingerprint"]
        found = self._client.retrieve(self._name, list(ids), with_payload=names)
        return {str(one.id): (one.payload[names[0]], one.payload[names[1]]) for one in found}

    def write(self, batch: Batch) -> None:
        """Write points; those of the same ids are replaced."""
        from qdrant_client.models import PointStruct

        points = []
        for place, row in enumerate(batch.ids):
            payload = {name: values[place] for name, values in batch.fields.items()}
            thumbnail = batch.thumbnails[place]
            if thumbnail is not None:
                payload["thumbnail"] = base64.b64encode(thumbnail).decode("ascii")
            points.append(
                PointStruct(id=row, vector=batch.vectors[place].tolist(), payload=payload)
            )
        self._client.upsert(self._name, points, wait=True)

    def count(self) -> int:
        """Return the number of points."""
        return int(self._client.count(self._name, exact=True).count)

    def close(self) -> None:
        """Close the client, which holds a lock on a folder."""
        self._client.close()


def open_table(destination: str, name: str, sample: Batch) -> QdrantCollection:
    """Open or make a collection; see `featx.exports.tables.Database`."""
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    place = {"url": destination} if is_url(destination) else {"path": destination}
    client: Any = QdrantClient(**place)  # type: ignore[arg-type, unused-ignore]
    if not client.collection_exists(name):
        vectors = VectorParams(size=sample.vectors.shape[1], distance=Distance.COSINE)
        client.create_collection(name, vectors_config=vectors)
    return QdrantCollection(client, name)
