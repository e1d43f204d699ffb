"""Files of indexes for tests: their description changed, and those of earlier versions."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from featx.files import hash_file
from featx.index.projection import normalize_rows
from featx.sealed_json import seal
from featx.store import open_store

FOOTER = struct.Struct("<QI4x8s")
"""As documented in docs/reference/head-and-index.md."""


def split_file(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the arrays of an index and its description."""
    content = path.read_bytes()
    length, _, magic = FOOTER.unpack(content[-FOOTER.size :])
    assert magic == b"featxIdx"
    end = len(content) - FOOTER.size - length
    return content[:end], json.loads(content[end : -FOOTER.size])


def join_file(path: Path, arrays: bytes, text: str) -> None:
    """Write an index of arrays and the text of a description, with the checksum of the text."""
    content = text.encode("ascii")
    footer = FOOTER.pack(len(content), zlib.crc32(content), b"featxIdx")
    path.write_bytes(arrays + content + footer)


def edit_description(path: Path, *, sealed: bool = True, **changes: object) -> None:
    """Change fields of a description."""
    arrays, data = split_file(path)
    data |= changes
    join_file(path, arrays, json.dumps(seal(data) if sealed else data))


def edit_array(path: Path, name: str, values: np.ndarray) -> None:
    """Put other values in the place of an array of the same type and shape, with checksums."""
    arrays, data = split_file(path)
    place = data["arrays"][name]
    content = np.ascontiguousarray(values, place["dtype"]).tobytes()
    block = 256 << 10
    place["crc32"] = [
        zlib.crc32(content[start : start + block]) for start in range(0, len(content), block)
    ]
    changed = bytearray(arrays)
    changed[place["offset"] : place["offset"] + len(content)] = content
    join_file(path, bytes(changed), json.dumps(seal(data)))


def read_array(path: Path, name: str) -> np.ndarray:
    """Return an array of an index."""
    arrays, data = split_file(path)
    place = data["arrays"][name]
    dtype, shape = np.dtype(place["dtype"]), tuple(place["shape"])
    count = int(np.prod(shape))
    return np.frombuffer(arrays, dtype, count, place["offset"]).reshape(shape)


def write_version2(store: Path, layer: str | None = None) -> Path:
    """Write the index of a store as featx 0.1.0 did: two files, the second one of JSON."""
    path = store.with_suffix(".faiss")
    path.unlink(missing_ok=True)  # Somebody may have it open.
    with open_store(store) as opened:
        table = opened.table(layer)
        index = faiss.IndexFlatIP(table.values.shape[1])
        index.add(normalize_rows(table.values))
        faiss.write_index(index, str(path))
        data = {
            "format": "featx-index",
            "format_version": 2,
            "kind": "flat",
            "package": None,
            "metric": "cosine",
            "fingerprint": table.fingerprint,
            "feature": table.spec.to_dict(),
            "model": table.model.to_dict(),
            "contents": opened.contents,
            "store": str(store.absolute()),
            "store_relative": store.name,
            "root": opened.root.text,
            "root_relative": opened.root.relative_to(store.parent),
            "keys": list(table.keys),
            "labels": list(table.labels),
            "content_hash": table.content_hash.tobytes().hex(),
            "faiss_sha256": hash_file(path),
        }
    Path(f"{path}.json").write_text(json.dumps(seal(data)), encoding="utf-8")
    return path
